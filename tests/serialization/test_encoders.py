"""Encoders: how objects become bytes in a recording, and objects again."""
import array
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest

from helpers.children import run_child
from spill_ring import DiskSink, ObjectRing, SpillLog, record

pytestmark = pytest.mark.not_sanitized


@pytest.mark.parametrize("encoder", ["plain", "pickle", "msgpack"])
def test_objects_come_back(tmp_path, encoder):
    things = [b"", b"a" * 1000, "", "é", b"\0"]
    if encoder != "plain":
        things = [None, 1.5, {"a": [1, "é"]}, b"x" * 300, True]
    if encoder == "msgpack":
        pytest.importorskip("msgspec", reason="no wheel of it here")
    things *= 40
    with ObjectRing(3, DiskSink(tmp_path, segment_bytes=2000, encoder=encoder)) as ring:
        ring.extend(things)
    if encoder == "pickle":
        with pytest.raises(ValueError, match="say so again"):
            SpillLog(tmp_path)
    log = SpillLog(tmp_path, encoder=None if encoder != "pickle" else "pickle")
    assert log.dtype is None and list(log) == things and log[:] == things and log[5:7] == things[5:7]
    assert log[-1] == things[-1] and log.verify() == [] and len(list(tmp_path.glob("*.log"))) > 3
    with pytest.raises(ValueError, match="recorded by encoder"):
        SpillLog(tmp_path, encoder="plain" if encoder != "plain" else "pickle")
    with pytest.raises(TypeError, match="can't go on by"):
        DiskSink(tmp_path, encoder="plain" if encoder != "plain" else "pickle").send("x")


class Reversed:
    name = "reversed"

    def encode(self, value):
        return value[::-1]

    def decode(self, data):
        return data[::-1]


def test_an_encoder_of_your_own(tmp_path):
    with ObjectRing(1, DiskSink(tmp_path, encoder=Reversed())) as ring:
        ring.extend([b"abc", b"def"])
    with pytest.raises(ValueError, match="say so again"):
        SpillLog(tmp_path)
    assert SpillLog(tmp_path, encoder=Reversed())[:] == [b"abc", b"def"]
    for wrong in ("gzip", object(), Reversed, 3):
        with pytest.raises((TypeError, ValueError), match="encoder"):
            DiskSink(tmp_path / "other", encoder=wrong)


@record
@dataclass(frozen=True)
class Reading:
    time: int
    value: np.float32
    sensor: Annotated[str, "U4"] = ""


@pytest.mark.parametrize("type_, values", [
    (Reading, [Reading(n, np.float32(n / 4), f"s{n}") for n in range(100)]),
    (list[int] | None, [None, [], [1, 2, 3], None] * 20),
    (tuple[str, Reading], [("né", Reading(1, np.float32(2)))] * 50),
    (str, ["", "é" * 300, "\0"] * 20),
], ids=str)
def test_an_encoder_by_type(tmp_path, type_, values):
    """By `ByteSerializer`, which has to be told the type again."""
    with ObjectRing(2, DiskSink(tmp_path, segment_bytes=1000, encoder=type_)) as ring:
        ring.extend(values)
        assert ring.history[:] == values
        ring.push(object())
        with pytest.raises(TypeError):
            ring.flush()
        assert len(ring) == 1 and ring.pop() is not None
    with pytest.raises(ValueError, match="recorded by ByteSerializer; say their type"):
        SpillLog(tmp_path)
    with pytest.raises(ValueError, match="recorded by encoder 'ByteSerializer', not 'plain'"):
        SpillLog(tmp_path, encoder="plain")
    assert SpillLog(tmp_path, encoder=type_)[:] == values
    with ObjectRing(2, DiskSink(tmp_path, encoder=type_)) as ring:
        ring.push(values[1])
    assert SpillLog(tmp_path, encoder=type_)[-2:] == [values[-1], values[1]]
    with pytest.raises((ValueError, TypeError)):
        SpillLog(tmp_path, encoder=tuple[bytes, Reading, Reading])[:]


def test_a_type_that_has_no_form(tmp_path):
    for wrong in (object, dict[str, int], np.ndarray, list, Reversed):
        with pytest.raises(TypeError, match=r"no form in bytes|encoder is the class"):
            DiskSink(tmp_path / "log", encoder=wrong)
    assert not (tmp_path / "log").exists()


def test_an_object_that_can_not_be_encoded_stays_in_the_ring(tmp_path):
    ring = ObjectRing(4, DiskSink(tmp_path))
    ring.extend([b"a", "b", 3, "d"])
    with pytest.raises(TypeError, match="3 is neither bytes nor str"):
        ring.flush()
    assert list(ring) == [3, "d"] and ring.stats == (4, 0, 2, 0)
    assert ring.pop() == 3
    ring.close()
    assert SpillLog(tmp_path)[:] == [b"a", "b", "d"]


def test_an_encoder_that_returns_no_bytes_is_refused(tmp_path):
    class Doubles:
        name = "doubles"

        def encode(self, value):
            return array.array("d", value)  # whose len() is not that of its bytes

        def decode(self, data):
            return list(array.array("d", data))

    ring = ObjectRing(1, DiskSink(tmp_path, encoder=Doubles()))
    ring.push([1.0, 2.0])
    with pytest.raises(TypeError, match=r"encode\(\) of encoder 'doubles' must return bytes, not array"):
        ring.push([3.0])
    assert list(ring) == [[1.0, 2.0]] and ring.stats.spilled == 0
    ring.clear()
    ring.close()
    with pytest.raises(TypeError, match="encoder is the class Doubles; pass an instance"):
        DiskSink(tmp_path, encoder=Doubles)
    with pytest.raises(TypeError, match="interval must be a number of seconds, not '1'"):
        DiskSink(tmp_path, interval="1")


@pytest.mark.slow
def test_a_fork_in_an_encoder_leaves_the_parents_files_alone(tmp_path):
    run_child("recording/fork_in_an_encoder", tmp_path / "log")
