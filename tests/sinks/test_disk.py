"""Recordings: nothing lost by kill -9, little by a power loss, and never a wrong value."""
import array
import contextlib
import errno
import gc
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest

from spill_ring import ArrayRing, BackgroundSink, DamagedError, DiskSink, ObjectRing, SpillLog, TeeSink
from spill_ring import record as recorded
from spill_ring.recording import layout, segment
from spill_ring.recording.checksum import checksum
from spill_ring.recording.layout import header_of, with_count

pytestmark = pytest.mark.not_sanitized


def numbers(start, stop=None):
    return np.arange(start, stop, dtype="i8")


def record(folder, count=1000, block=10, **options):
    """0, 1, 2, … in blocks."""
    with ArrayRing(1, "i8", DiskSink(folder, **options)) as ring:
        for n in range(0, count, block):
            ring.extend(numbers(n, min(n + block, count)))


def read(folder):
    """What is there, all of it checked; None: no recording."""
    try:
        log = SpillLog(folder)
    except FileNotFoundError:
        return None
    assert log.verify() == []
    items = log[:]
    assert log.first == 0 and len(items) == len(log) == log.end
    return list(items) if log.dtype is None else items


def goes_on(folder, acknowledged, encode=int):
    """After a crash: a prefix is there that holds what was acknowledged, and the recording goes on."""
    found = read(folder)
    count = 0 if found is None else len(found)
    assert count >= acknowledged
    if count:
        assert [encode(n) for n in range(count)] == list(found)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with DiskSink(folder, segment_bytes=300) as sink:
            for begin, end in ((count, count + 8), (count + 8, count + 50)):
                if encode is int:
                    sink.send(numbers(begin, end))
                else:
                    for n in range(begin, end):
                        sink.send(encode(n))
                assert SpillLog(folder).end == end  # nothing of what was cut off came back behind it
            assert sink.count == count + 50  # the reader and the writer agree on where it ended
    assert all("cut off" in str(warning.message) for warning in caught)
    assert [encode(n) for n in range(count + 50)] == list(read(folder))
    return len(caught)


# -- what comes back -----------------------------------------------------------------------------------------

RECORDS = np.dtype([("t", "<i8"), ("x", "<f4", (3,)), ("name", "S5")])


DTYPES = ["u1", ">i4", "f8", "c16", "S7", "U3", "M8[ns]", ("f4", (8,)), ("i2", (2, 3)), RECORDS]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sync", ["interval", "always", "never"])
def test_every_dtype_comes_back(tmp_path, dtype, sync):
    dtype = np.dtype(dtype)
    data = np.random.default_rng(1).integers(0, 100, 500 * dtype.itemsize).astype("U1" if dtype.kind == "U" else "u1")
    items = np.frombuffer(data.tobytes()[: 500 * dtype.itemsize], dtype.base).reshape(500, *dtype.shape)
    with ArrayRing(7, dtype, DiskSink(tmp_path / "log", segment_bytes=999, sync=sync)) as ring:
        for n in range(0, 500, 20):
            ring.extend(items[n : n + 20])
    log = SpillLog(tmp_path / "log")
    assert log.dtype == dtype and len(log) == 500 and log.verify() == []
    assert log[:].tobytes() == items.tobytes() and log[:].dtype == items.dtype
    segments = sorted((tmp_path / "log").glob("*.npy"))
    assert len(segments) > 1 or dtype.itemsize == 1
    assert b"".join(np.load(path, mmap_mode="r").tobytes() for path in segments) == items.tobytes()
    assert log[3].tobytes() == items[3].tobytes() and log[-1].tobytes() == items[-1].tobytes()


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


@recorded
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


def test_it_goes_on_where_it_ended(tmp_path):
    for n in range(0, 300, 30):
        with DiskSink(tmp_path, segment_bytes=500) as sink:
            assert sink.count == 0  # nothing is known before the dtype is
            sink.send(numbers(n, n + 30))
            assert sink.count == n + 30
    assert (read(tmp_path) == numbers(300)).all()
    with pytest.raises(TypeError, match=r"holds items of dtype\('int64'\), so it can't go on with items of .*float64"):
        ArrayRing(3, "f8", DiskSink(tmp_path))
    with pytest.raises(TypeError, match="can't go on with objects"):
        ObjectRing(3, DiskSink(tmp_path))
    assert (read(tmp_path) == numbers(300)).all()


@pytest.mark.parametrize("kind", ["typed", "objects"])
def test_segments_that_are_not_sealed_yet(tmp_path, monkeypatch, kind):
    """A disk that takes its time: the producer goes on, readers see all of it, and a copy of that moment goes on."""
    encode = int if kind == "typed" else str
    may_sync = threading.Event()
    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (may_sync.wait(), fdatasync(fd))[1])
    may_sync.set()
    with DiskSink(tmp_path / "log", segment_bytes=400, interval=3600) as sink:
        ring = ArrayRing(1, "i8", sink) if kind == "typed" else ObjectRing(1, sink)
        ring.push(encode(0))
        ring.push(encode(1))
        may_sync.clear()
        log = SpillLog(tmp_path / "log")
        count = 1
        while len(list((tmp_path / "log").glob("*.index"))) < 3:  # the third one begun, and none is sealed
            count += 1
            ring.push(encode(count))
        assert log.refresh() == count and log[-1] == encode(count - 1)
        assert list(SpillLog(tmp_path / "log")) == [encode(n) for n in range(count)]
        manifest = (tmp_path / "log" / "manifest").read_bytes()
        shutil.copytree(tmp_path / "log", tmp_path / "crashed")
        may_sync.set()
        sink.flush()
        assert log.refresh() == count and log.verify() == []
        ring.clear()
    assert (tmp_path / "log" / "manifest").read_bytes() != manifest
    assert (tmp_path / "crashed" / "manifest").read_bytes() == manifest

    assert goes_on(tmp_path / "crashed", count, encode) == 0  # nothing to be cut off
    # The same, but the first segment's last block was not there: what comes after it does not count.
    shutil.rmtree(tmp_path / "crashed")
    shutil.copytree(tmp_path / "log", tmp_path / "crashed")
    (tmp_path / "crashed" / "manifest").write_bytes(manifest)
    first, second, third = sorted((tmp_path / "crashed").glob("*.index"))
    for index, items in ((first, 3), (second, 0), (third, 0)):
        with open(index.with_suffix(".npy" if kind == "typed" else ".log"), "r+b") as file:
            file.write(with_count(header_of(log.dtype), items))
    os.truncate(first, os.stat(first).st_size - 56)
    end = int(second.name[:20]) - 1
    assert SpillLog(tmp_path / "crashed").end == end
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with DiskSink(tmp_path / "crashed", segment_bytes=400) as sink:
            for n in range(end, end + 100):
                sink.send(numbers(n, n + 1) if kind == "typed" else str(n))
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 2 and f"from item {end + 1} on, which do not follow" in texts[0]
    assert list(SpillLog(tmp_path / "crashed")) == [encode(n) for n in range(end + 100)]

    # Where a later segment counts something, all before it was there once: so it is damaged, and all else is readable.
    with open((tmp_path / "log" / second.name).with_suffix(".npy" if kind == "typed" else ".log"), "r+b") as file:
        file.seek(200)
        byte = file.read(1)
        file.seek(200)
        file.write(bytes([byte[0] ^ 1]))
    (tmp_path / "log" / "manifest").write_bytes(manifest)
    log = SpillLog(tmp_path / "log")
    assert log.end == count
    damage, = log.verify()
    assert end < damage.first < damage.last <= count
    assert list(log[: damage.first]) + list(log[damage.last :]) == [
        encode(n) for n in range(count) if not damage.first <= n < damage.last
    ]


def bytes_in(folder):
    size = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # the sink's thread removes the oldest
            size += path.stat().st_size
    return size


def test_keep_bytes(tmp_path):
    log = None
    with DiskSink(tmp_path, segment_bytes=1000, keep_bytes=4000) as sink:
        for n in range(0, 5000, 50):
            sink.send(numbers(n, n + 50))
            log = log or SpillLog(tmp_path)
            assert bytes_in(tmp_path) < 4500 + 3 * 1400
        sink.flush()
        assert bytes_in(tmp_path) < 4500
        assert sink.removed > 4000 and sink.count == 5000
        assert log.refresh() == 5000
    assert log.first == sink.removed and (log[:] == numbers(log.first, 5000)).all() and log.verify() == []
    with pytest.raises(IndexError, match=f"items 0 to 10 were removed; the first is {log.first}"):
        log[0:10]
    with pytest.raises(IndexError, match="item 7 was removed"):
        log[7]
    with pytest.raises(IndexError, match="item 5000 is not there"):
        log[5000]
    record(tmp_path, 0)
    with DiskSink(tmp_path) as sink:
        sink.send(numbers(5000, 5001))
        assert sink.removed == log.first


def test_a_slice_in_a_segment_is_the_file(tmp_path):
    record(tmp_path, 1000, 100)
    log = SpillLog(tmp_path)
    items = log[200:700]
    assert not items.flags.owndata and not items.flags.writeable and np.shares_memory(items, log[300:301])
    assert (items == numbers(200, 700)).all() and log[900:2000].tolist() == list(range(900, 1000))
    assert log[10:30:7].tolist() == [10, 17, 24] and log[5:5].tolist() == [] and log[7:3].tolist() == []
    for key, error in ((1000, IndexError), (-1001, IndexError), ("a", AttributeError), (1.5, AttributeError)):
        with pytest.raises((error, TypeError)):
            log[key]
    del log
    gc.collect()
    assert (items == numbers(200, 700)).all()


def test_blocks(tmp_path):
    record(tmp_path, 1000, 10, segment_bytes=1500)
    log = SpillLog(tmp_path)
    assert np.concatenate(list(log.blocks())).tolist() == list(range(1000))
    blocks = list(log.blocks(64, start=100, stop=555))
    assert np.concatenate(blocks).tolist() == list(range(100, 555)) and max(map(len, blocks)) == 64
    assert not any(block.flags.owndata for block in blocks)
    assert [int(n) for n in log] == list(range(1000))
    with pytest.raises(ValueError, match="at least 1"):
        next(log.blocks(0))


def test_by_time(tmp_path):
    moments = []
    with DiskSink(tmp_path, segment_bytes=300) as sink:
        for n in range(0, 100, 10):
            moments.append(time.time())
            sink.send(numbers(n, n + 10))
            time.sleep(0.002)
    log = SpillLog(tmp_path)
    assert log.by_time(moments[3], moments[6]).tolist() == list(range(30, 60))
    assert log.by_time(0, moments[0]).tolist() == [] and log.by_time(0, time.time()).tolist() == list(range(100))
    assert log.by_time(moments[9], time.time() + 9).tolist() == list(range(90, 100))
    times = log.times(25, 45)
    assert len(times) == 20 and times.dtype == "M8[ns]" and (np.diff(times) >= np.timedelta64(0, "ns")).all()
    assert log.by_time(times[5], times[15]).tolist() == list(range(30, 40))
    with pytest.raises(TypeError, match="a time is"):
        log.by_time("yesterday", 1.0)
    for never in (float("nan"), np.float32("nan"), np.datetime64("NaT", "ns")):
        with pytest.raises(ValueError, match=r"a time can't be .*(nan|NaT)"):
            log.by_time(0, never)
    assert log.by_time(float("-inf"), float("inf")).tolist() == log.by_time(-1e30, 10**30).tolist() == list(range(100))


def test_damage_elsewhere_leaves_times_and_numbers_right(tmp_path):
    moments = []
    with DiskSink(tmp_path / "log", segment_bytes=300) as sink:
        for n in range(0, 200, 20):
            moments.append(time.time())
            sink.send(numbers(n, n + 20))
            time.sleep(0.002)
        moments.append(time.time())
    indexes = sorted((tmp_path / "log").glob("*.index"))
    firsts = [int(path.name[:20]) for path in indexes] + [200]
    assert len(indexes) > 5
    for i, path in enumerate(indexes[:-1]):
        data = path.read_bytes()
        path.write_bytes(b"")
        log = SpillLog(tmp_path / "log")
        for j in range(10):
            if 20 * j + 20 <= firsts[i] or 20 * j >= firsts[i + 1]:
                assert log.by_time(moments[j], moments[j + 1]).tolist() == list(range(20 * j, 20 * j + 20))
        path.write_bytes(data)
    log = SpillLog(tmp_path / "log")
    for read in (log.blocks, log.times):
        with pytest.raises(IndexError, match="item -1 is not there"):
            list(read(start=-201))
    assert [block.tolist() for block in log.blocks(3, start=-5)] == [[195, 196, 197], [198, 199]]
    assert len(log.times(-5, -2)) == 3 and next(log.follow(-2, timeout=0)).tolist() == [198, 199]
    with pytest.raises(IndexError, match="item -1 is not there"):
        log[-201:]
    for index in ("a", 1.5, [1]):
        with pytest.raises(TypeError):
            log[index]
    # The end is not there: whoever goes to the end is told.
    indexes[-1].with_suffix(".npy").unlink()
    log = SpillLog(tmp_path / "log")
    found = []
    with pytest.raises(DamagedError, match="missing"):
        found.extend(log)
    assert found == list(range(firsts[-2]))


def test_a_signal_between_a_header_and_its_accounting(tmp_path, monkeypatch):
    """What was sent then was not taken: nothing of it is left, and the recording is whole."""
    pwrite = os.pwrite
    with DiskSink(tmp_path, sync="always") as sink:
        sink.send(numbers(0, 5))

        def interrupted(fd, data, offset):
            pwrite(fd, data, offset)
            if offset == 0:
                monkeypatch.undo()
                raise KeyboardInterrupt
            return len(data)

        monkeypatch.setattr(os, "pwrite", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sink.send(numbers(5, 9))
        assert sink.count == 5 and SpillLog(tmp_path).verify() == [] and SpillLog(tmp_path).end == 5
    assert read(tmp_path).tolist() == list(range(5))


@pytest.mark.parametrize("kind", ["typed", "objects"])
@pytest.mark.parametrize("looks_at_once", [True, False])
@pytest.mark.parametrize("counts", [[3, 9], [7], [12], [1, 1]])
def test_a_reader_that_saw_a_block_which_was_cut_back(tmp_path, monkeypatch, kind, looks_at_once, counts):
    """Its sync failed. The reader goes on with what came in its place."""

    def send(count):
        begin = sink.count
        if kind == "typed":
            sink.send(numbers(begin, begin + count))
        else:
            ring.extend([str(n) for n in range(begin, begin + count)])
            try:
                ring.flush()
            finally:
                ring.clear()

    def fail(fd):
        assert log.refresh() == 12 and [int(n) for n in log[:]] == list(range(12))
        raise OSError(errno.EIO, "as the disk is")

    with DiskSink(tmp_path, sync="always") as sink, ObjectRing(20, sink if kind == "objects" else None) as ring:
        send(5)
        log = SpillLog(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail)
            with pytest.raises(OSError, match="as the disk is"):
                send(7)
        if looks_at_once:
            assert log.refresh() == 5 and log.verify() == []
        for count in counts:
            send(count)
            assert log.refresh() == sink.count and log.verify() == []
            assert [int(n) for n in log[:]] == list(range(sink.count))


@pytest.mark.slow
def test_signals_at_any_moment(tmp_path):
    """A timer's handler raises, again and again, wherever it comes: what was taken is there, and nothing else."""
    script = """
import signal, sys, numpy as np
from spill_ring import *
class Ring(Exception): pass
def handler(*_): raise Ring
sink = DiskSink(sys.argv[1], sync=sys.argv[2], interval=0.001, segment_bytes=3000)
sink.send(np.arange(0))
signal.signal(signal.SIGALRM, handler)
n = rings = 0
while rings < 60:
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-4 + (rings * 37 % 19) * 1e-4)
        while True:
            sink.send(np.arange(n, n + 7))
            n = sink.count
    except Ring:
        rings += 1
        n = sink.count
signal.setitimer(signal.ITIMER_REAL, 0)
sink.close()
log = SpillLog(sys.argv[1])
assert log.end == n and log.verify() == [], (log.end, n, log.verify())
assert (log[:] == np.arange(n)).all()
"""
    for sync in ("always", "interval"):
        command = [sys.executable, "-P", "-c", script, str(tmp_path / sync), sync]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_removed_under_the_recording(tmp_path, replaced):
    sink = DiskSink(tmp_path / "log", interval=3600)
    ring = ArrayRing(1, "i8", sink)
    ring.extend(numbers(0, 5))
    shutil.rmtree(tmp_path / "log")
    if replaced:
        record(tmp_path / "log", 3)
    ring.extend(numbers(5, 9))
    with pytest.raises(FileNotFoundError, match="removed under the recording"):
        ring.flush()
    ring.clear()
    for close in (ring.close, sink.close):
        with pytest.raises(FileNotFoundError, match="removed under the recording"):
            close()
    assert sink.closed
    ring.close()
    if replaced:
        assert len(read(tmp_path / "log")) == 3


@pytest.mark.parametrize("segments", [1, 20])
def test_opening_a_recording_reads_each_file_once(tmp_path, monkeypatch, segments):
    record(tmp_path, 34 * segments, 34, segment_bytes=400)
    assert len(list(tmp_path.glob("*.npy"))) == segments
    opened = []

    def counted(path, mode):
        opened.append(path)
        return open(path, mode)

    for module in (layout, segment):
        monkeypatch.setattr(module, "open", counted, raising=False)
    log = SpillLog(tmp_path)
    assert log.end == 34 * segments
    last = str(max(tmp_path.glob("*.index")))
    assert sorted(path for path in opened if not path.endswith(".npy")) == [last, str(tmp_path / "manifest")]
    opened.clear()
    log.refresh()
    assert sorted(opened) == sorted([last, str(tmp_path / "manifest"), last.replace(".index", ".npy")])


def test_a_follower_copies_no_index_entries(tmp_path):
    """But in steps that double: what it costs to look is what is new."""
    with DiskSink(tmp_path, sync="never") as sink:
        sink.send(numbers(1))
        found = segment.Segment(str(tmp_path), 0, np.dtype("i8"))
        copies = 0
        for n in range(1, 3000):
            before = found.entries
            found.refresh()
            copies += not np.shares_memory(before, found.entries)
            assert len(found.entries) == len(found.is_checked) == n and found.end == n
            sink.send(numbers(n, n + 1))
        assert copies <= 12
        assert found.entries["first"].tolist() == list(range(2999))


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


def test_reading_changes_nothing(tmp_path):
    record(tmp_path, 1000, segment_bytes=2000)
    (tmp_path / "00000000000000000999.npy").write_bytes(b"")  # a segment that was just being begun

    def everything():
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}

    before = everything()
    log = SpillLog(tmp_path)
    assert (log[:] == numbers(1000)).all() and log.verify() == []
    log.refresh()
    next(log.follow(0, timeout=0))
    assert everything() == before


# -- misuse --------------------------------------------------------------------------------------------------


def test_what_it_refuses(tmp_path):
    for options, match in (
        ({"segment_bytes": 0}, "segment_bytes must be from 1 to .*, not 0"), ({"sync": "often"}, "sync must be"),
        ({"interval": 0}, "interval must be"), ({"interval": float("nan")}, "interval must be"),
        ({"segment_bytes": 100, "keep_bytes": 150}, "keep_bytes must be at least twice"),
        ({"segment_bytes": 10**30}, f"segment_bytes must be from 1 to {sys.maxsize}, not {10**30}"),
        ({"encoder": "zip"}, "encoder must be one of"),
    ):
        with pytest.raises(ValueError, match=match):
            DiskSink(tmp_path / "log", **options)
    for options in ({"segment_bytes": 1.5}, {"keep_bytes": "1"}, {"interval": "1"}, {"encoder": 5}):
        with pytest.raises(TypeError):
            DiskSink(tmp_path / "log", **options)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        DiskSink(tmp_path / "missing" / "log")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is no recording, and not empty: there is 'file' in it"):
        DiskSink(tmp_path)
    with pytest.raises(NotADirectoryError):
        DiskSink(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="holds no recording"):
        SpillLog(tmp_path)
    sink = DiskSink(tmp_path / "log")
    with pytest.raises(RuntimeError, match="initialised already"):
        sink.__init__(tmp_path / "log")
    with pytest.raises(BlockingIOError, match=f"process {os.getpid()} writes to it"):
        DiskSink(tmp_path / "log")
    sink.close()
    with pytest.raises(ValueError, match="closed"):
        sink.send(numbers(3))
    DiskSink(tmp_path / "log").close()
    with pytest.raises(RuntimeError, match="never initialised"):
        DiskSink.__new__(DiskSink, "x").send(numbers(3))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child(tmp_path):
    ring = ArrayRing(2, "i8", DiskSink(tmp_path))
    ring.extend(numbers(10))
    child = os.fork()
    if child == 0:
        try:
            ring.extend(numbers(10))
        except RuntimeError as error:
            os._exit("belongs to the process that opened it" not in str(error))
        os._exit(9)
    assert os.waitpid(child, 0)[1] == 0
    sleeper = os.fork()
    if sleeper == 0:
        time.sleep(60)
        os._exit(0)
    try:
        ring.extend(numbers(10, 20))
        ring.close()
        with DiskSink(tmp_path) as sink:  # the lock isn't the child's
            sink.send(numbers(20, 25))
    finally:
        os.kill(sleeper, 9)
        os.waitpid(sleeper, 0)
    assert (read(tmp_path) == numbers(25)).all()


def test_one_that_is_dropped_is_closed(tmp_path):
    ring = ArrayRing(2, "i8", DiskSink(tmp_path, interval=3600))
    ring.extend(numbers(10))
    del ring
    gc.collect()
    assert (np.load(next(tmp_path.glob("*.npy"))) == numbers(10)).all()
    with DiskSink(tmp_path) as sink:
        sink.send(numbers(10, 11))
    assert not [thread for thread in threading.enumerate() if str(tmp_path) in thread.name]


def test_the_interval(tmp_path):
    """np.load sees it soon, though nothing more is sent."""
    with DiskSink(tmp_path, interval=0.01) as sink:
        sink.send(numbers(10))
        end = time.monotonic() + 30
        while len(np.load(next(tmp_path.glob("*.npy")), mmap_mode="r")) < 10:
            assert time.monotonic() < end
            time.sleep(0.005)


def test_behind_other_sinks(tmp_path):
    background = BackgroundSink(TeeSink(DiskSink(tmp_path / "a"), DiskSink(tmp_path / "b", segment_bytes=100)), 100)
    with ArrayRing(3, "i8", background) as ring:
        ring.extend(numbers(1000))
    assert (read(tmp_path / "a") == numbers(1000)).all() and (read(tmp_path / "b") == numbers(1000)).all()


# -- a reader beside the writer ------------------------------------------------------------------------------

WRITER = """
import sys, numpy as np
from spill_ring import *
with DiskSink(sys.argv[1], segment_bytes=20_000, interval=0.01, keep_bytes=eval(sys.argv[2])) as sink:
    n = 0
    rng = np.random.default_rng(3)
    while n < 300_000:
        count = int(rng.integers(1, 700))
        sink.send(np.arange(n, n + count))
        n += count
"""


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["None", "200_000"])
def test_following_another_process(tmp_path, keep):
    writer = subprocess.Popen([sys.executable, "-P", "-c", WRITER, str(tmp_path), keep])
    try:
        end = time.monotonic() + 300
        while not (tmp_path / "manifest").exists():
            assert time.monotonic() < end
        log, at = SpillLog(tmp_path), 0
        while at < 300_000:
            try:
                for block in log.follow(at, timeout=120):
                    assert block[0] == at and (np.diff(block) == 1).all()
                    at += len(block)
                    for path in sorted(tmp_path.glob("*.npy"))[-2:-1]:
                        try:
                            seen = np.load(path, mmap_mode="r")
                        except FileNotFoundError:
                            continue  # removed
                        assert len(seen) == 0 or (seen[0] == int(path.stem) and (np.diff(seen) == 1).all())
                    if at >= 300_000:
                        break
                else:
                    pytest.fail("nothing came")
            except IndexError as error:
                assert keep != "None" and "removed" in str(error)
                at = log.first
        assert writer.wait(30) == 0
    finally:
        writer.kill()
        writer.wait()
    assert log.verify() == [] and (log[:] == numbers(log.first, log.end)).all()


READINGS = {
    "an old slice": lambda log, first: (first, log[first : first + 40]),
    "all": lambda log, first: (log.refresh() and log.first, log[:]),
    "the last": lambda log, first: (log.refresh() - 5, log[-5:]),
    "blocks": lambda log, first: (log.first, [n for block in log.blocks(7) for n in block]),
    "by time": lambda log, first: (log.first, log.by_time(0, time.time())),
    "times": lambda log, first: (None, log.times()),
    "verify": lambda log, first: (None, log.verify()),
    "to follow": lambda log, first: (first, [n for block in log.follow(first, timeout=0) for n in block]),
    "afresh": lambda log, first: (None, SpillLog(log.path)[:]),
}


def is_read_right(what, log, first):
    """False: it was removed."""
    try:
        start, items = READINGS[what](log, first)
    except IndexError as error:
        assert "removed" in str(error)
        return False
    finally:
        assert log.first <= log.end
    if what == "times":
        assert not np.isnat(items).any()
    elif what == "verify":
        assert items == []
    elif len(items):
        start = int(items[0]) if start is None else start
        assert [int(n) for n in items] == list(range(start, start + len(items)))
    return True


@pytest.mark.slow
@pytest.mark.parametrize("what", READINGS)
@pytest.mark.parametrize("kind", ["typed", "objects"])
def test_removed_between_any_two_calls_of_a_reader(tmp_path, monkeypatch, kind, what):
    """What is gone is an IndexError that says so: never damage, a missing file, or wrong items."""
    with DiskSink(tmp_path, segment_bytes=300, keep_bytes=1500, sync="never") as sink:
        ring = ArrayRing(1, "i8", sink) if kind == "typed" else ObjectRing(1, sink)

        def write_on():
            for _ in range(16):
                begin = ring.stats.pushed
                ring.extend(numbers(begin, begin + 11) if kind == "typed" else map(str, range(begin, begin + 11)))
            sink.flush()

        for moment in range(1000):
            write_on()
            log = SpillLog(tmp_path)
            first = log.first
            calls = itertools.count()

            def hooked(call, calls=calls, moment=moment):
                def hooked(*args, **kwargs):
                    if next(calls) == moment:
                        write_on()
                    return call(*args, **kwargs)

                return hooked

            with monkeypatch.context() as patch:
                patch.setattr(layout, "open", hooked(open), raising=False)
                patch.setattr(segment, "open", hooked(open), raising=False)
                patch.setattr(os.path, "exists", hooked(os.path.exists))
                patch.setattr(os, "scandir", hooked(os.scandir))
                if not is_read_right(what, log, first):
                    assert first < sink.removed
            assert log.first <= log.end <= log.refresh() == sink.count and len(log[:]) == log.end - log.first > 0
            if next(calls) <= moment:
                break
        ring.clear()


AT_FULL_SPEED = """
import sys, numpy as np
from spill_ring import *
with DiskSink(sys.argv[1], segment_bytes=1000, keep_bytes=4000, sync="never", interval=0.001) as sink:
    for n in range(0, 1_000_000, 50):
        sink.send(np.arange(n, n + 50))
"""


@pytest.mark.slow
def test_readers_beside_a_writer_at_full_speed(tmp_path):
    writer = subprocess.Popen([sys.executable, "-P", "-c", AT_FULL_SPEED, str(tmp_path)])
    try:
        end = time.monotonic() + 300
        while not (tmp_path / "manifest").exists():
            assert time.monotonic() < end
        log = SpillLog(tmp_path)
        while log.refresh() < 100:
            assert time.monotonic() < end
        rng = random.Random(4)
        while writer.poll() is None:
            is_read_right(rng.choice(list(READINGS)), log, log.first)
        assert writer.returncode == 0 and log.refresh() == 1_000_000
    finally:
        writer.kill()
        writer.wait()
    assert log.verify() == [] and (log[:] == numbers(log.first, log.end)).all()


# -- kill -9 -------------------------------------------------------------------------------------------------

RECORDER = """
import os, sys, numpy as np
from spill_ring import *
kind, sync = sys.argv[2:4]
sink = DiskSink(sys.argv[1], segment_bytes=200, sync=sync, interval=3600)
if kind == "typed":
    ring, items = ArrayRing(2, "i8", sink), np.arange(30)
else:
    ring, items = ObjectRing(2, sink), [str(n) for n in range(30)]
n = 0
while n < 30:
    try:
        while n < 30:
            ring.extend(items[n : n + 6])
            n = ring.stats.pushed
            os.write(1, b"%d " % ring.stats.spilled)
            if n % 18 == 0:
                sink.flush()
    except OSError as error:
        stats = ring.stats
        assert stats.pushed == stats.spilled + len(ring)
        assert [int(n) for n in ring] == list(range(stats.spilled, stats.pushed))
        n = stats.pushed
        os.write(1, b"%s " % os.strerror(error.errno).replace(" ", "_").encode())
while not sink.closed:
    try:
        ring.close()
        sink.close()
    except OSError as error:
        os.write(1, b"%s " % os.strerror(error.errno).replace(" ", "_").encode())
os.write(1, b"%d " % ring.stats.spilled)
"""
CALLS = ["pwrite64", "fdatasync", "fsync", "rename", "mkdir"]


def injected(folder, kind, sync, call, what, when):
    """A recorder under strace, which counts in each thread by itself; gives its status, and the words that it wrote."""
    command = ["strace", "-f", "-qqq", "-e", "signal=none", "-o", "/dev/null", "-e", f"trace={call}",
               "-e", f"inject={call}:{what}:when={when}"]
    command += [sys.executable, "-P", "-B", "-c", RECORDER, folder, kind, sync]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout.split(), done.stderr


def injected_at_each(folder, kind, sync, call, what):
    """The same at every call of a kind, each in a folder of its own, for as long as it is asked for."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for begin in itertools.count(1, AT_ONCE * STEP):
            moments = range(begin, begin + AT_ONCE * STEP, STEP)
            folders = [str(folder / f"{call}{when}") for when in moments]
            runs = [pool.submit(injected, folders[i], kind, sync, call, what, moments[i]) for i in range(AT_ONCE)]
            for when, path, run in zip(moments, folders, runs, strict=True):
                yield when, path, *run.result()


# Every second one in CI, elsewhere some, as they take minutes. SPILL_RING_STEP=1: all.
STEP = int(os.environ.get("SPILL_RING_STEP", 2 if os.environ.get("SPILL_RING_CI") else 9))
AT_ONCE = os.cpu_count() or 1
elsewhere = pytest.mark.thread_unsafe(reason="what is tested runs in processes of its own")
needs_strace = pytest.mark.tool("strace")


@pytest.mark.slow
@needs_strace
@elsewhere
@pytest.mark.parametrize("kind, sync", [("typed", "interval"), ("typed", "always"), ("objects", "interval")])
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_every_call(tmp_path, kind, sync, call):
    for _, folder, status, words, errors in injected_at_each(tmp_path, kind, sync, call, "signal=KILL"):
        if status == 0:
            assert len(read(folder)) == 30
            break
        assert status in (-9, 137), errors
        if os.path.exists(folder):
            goes_on(folder, int(words[-1]) if words else 0, int if kind == "typed" else str)


@pytest.mark.slow
@elsewhere
def test_killed_at_any_moment(tmp_path):
    """By the clock; the same folder again and again."""
    script = """
import os, sys, numpy as np
from spill_ring import *
with ArrayRing(2, "i8", sink := DiskSink(sys.argv[1], segment_bytes=5000, interval=0.001)) as ring:
    n = int(sys.argv[2])
    while True:
        ring.extend(np.arange(n, n + 40))
        n += 40
        os.write(1, b"%d " % (sink.count))
"""
    rng = random.Random(5)
    count = 0
    for _ in range(10):
        command = [sys.executable, "-P", "-W", "ignore", "-c", script, str(tmp_path), str(count)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            said = process.stdout.read(1)  # it is at work
            time.sleep(rng.random() * 0.05)
            process.kill()
            said += process.stdout.read()
        items = read(tmp_path)
        assert len(items) >= int(said.split(" ")[-2]) and (items == numbers(len(items))).all()  # the last may be torn
        count = len(items)
    assert count > 1000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        goes_on(tmp_path, count)


@pytest.mark.slow
@needs_strace
@elsewhere
@pytest.mark.parametrize("kind, error", [("typed", "ENOSPC"), ("typed", "EIO"), ("typed", "EINTR"), ("objects", "EIO")])
def test_errors_at_every_call(tmp_path, kind, error):
    message = os.strerror(getattr(errno, error)).replace(" ", "_")
    calls = {"ENOSPC": ["pwrite64"], "EINTR": ["pwrite64", "fdatasync"], "EIO": CALLS[:-1]}  # each can fail by EIO
    for call in calls[error]:
        for when, folder, status, words, errors in injected_at_each(tmp_path, kind, "always", call, f"error={error}"):
            if status != 0:  # it couldn't even begin
                assert message.replace("_", " ") in errors and when <= 4, errors
                continue
            numbers_said = [int(word) for word in words if word != message]
            assert numbers_said[-1] == 30
            assert list(read(folder)) == [n if kind == "typed" else str(n) for n in range(30)]
            if message not in words and error == "EIO":
                break
            if when > (20 if error == "EINTR" else 60):  # of these nothing may be said: it is tried again
                break


# -- power loss ----------------------------------------------------------------------------------------------


class Disk:
    """A layer over os: what is written and synced in a folder, and all that a power loss can leave of it.

    Of what was not synced any part may be there: each write, length and name is, or isn't, or in part, by sectors.
    """

    SECTOR = 64  # smaller than any real one: worse

    def __init__(self, monkeypatch, root, short_writes=None, failing=None):
        self.root, self.ops, self.short_writes, self.failing = str(root), [], short_writes, failing
        self.lock = threading.RLock()  # what was done comes into the log in the order in which it was done
        self.calls = {name: getattr(os, name) for name in
                      ("open", "pwrite", "fdatasync", "fsync", "rename", "unlink", "ftruncate", "mkdir")}
        for name in self.calls:
            monkeypatch.setattr(os, name, self.locked(getattr(self, name)))

    def locked(self, call):
        def locked(*args, **kwargs):
            with self.lock:
                return call(*args, **kwargs)

        return locked

    def log(self, *op):
        if str(op[1]).startswith(self.root):
            self.ops.append(op)

    def path(self, fd):
        return os.readlink(f"/proc/self/fd/{fd}")

    def open(self, path, flags, *args, **kwargs):
        is_new = flags & os.O_CREAT and not os.path.exists(path)
        fd = self.calls["open"](path, flags, *args, **kwargs)
        if is_new:
            self.log("create", path)
        elif flags & os.O_TRUNC:
            self.log("truncate", path, 0)
        return fd

    def pwrite(self, fd, data, offset):
        if self.short_writes is not None and len(data) > 1:
            data = data[: self.short_writes.randint(1, len(data))]
        written = self.calls["pwrite"](fd, data, offset)
        self.log("write", self.path(fd), bytes(data), offset)
        return written

    def ftruncate(self, fd, length):
        self.calls["ftruncate"](fd, length)
        self.log("truncate", self.path(fd), length)

    def fdatasync(self, fd):
        self.calls["fdatasync"](fd)
        if self.failing is not None and self.failing.random() < 0.2:
            self.log("failed sync", self.path(fd))
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.log("sync", self.path(fd))

    def fsync(self, fd):
        self.calls["fsync"](fd)
        self.log("sync folder", self.path(fd))

    def rename(self, old, new):
        self.calls["rename"](old, new)
        self.log("rename", old, new)

    def unlink(self, path):
        self.calls["unlink"](path)
        self.log("unlink", path)

    def mkdir(self, path):
        self.calls["mkdir"](path)

    def after_power_loss(self, count, rng, folder):
        """Build in `folder` one state that may be there after the first `count` operations."""
        contents = {}  # a file, whatever its name is now: [bytes that last, operations that may or may not]
        names, pending_names = {}, []  # that last; and those that may or may not, in order
        now = {}  # name -> file, as programs see it
        for op, path, *args in self.ops[:count]:
            if op == "create":
                now[path] = key = object()
                contents[key] = [bytearray(), []]
                pending_names.append((path, key))
            elif op in ("write", "truncate"):
                contents[now[path]][1].append((op, *args))
            elif op == "sync":
                kept, pending = contents[now[path]]
                for change in pending:
                    self.apply(kept, change)
                pending.clear()
            elif op == "failed sync":  # the system takes for written what may be or not, and never tries again
                kept, pending = contents[now[path]]
                for change in pending:
                    if rng.random() < 0.5:
                        self.apply(kept, change)
                pending.clear()
            elif op == "rename":
                now[args[0]] = now.pop(path)
                pending_names.append((args[0], now[args[0]]))
                pending_names.append((path, None))
            elif op == "unlink":
                now.pop(path)
                pending_names.append((path, None))
            elif op == "sync folder":
                names = dict(now)
                pending_names.clear()
        names = dict(names)
        for name, key in pending_names[: rng.randint(0, len(pending_names))]:  # a journal keeps their order
            names[name] = key
        os.makedirs(folder, exist_ok=True)
        for name, key in names.items():
            if key is None:
                continue
            kept, pending = contents[key]
            data = bytearray(kept)
            for change in rng.sample(pending, rng.randint(0, len(pending))):  # in any order
                if change[0] == "write" and rng.random() < 0.3:
                    self.write_sectors(data, change, rng)
                else:
                    self.apply(data, change)
            with open(os.path.join(folder, os.path.basename(name)), "wb") as file:
                file.write(data)

    @staticmethod
    def apply(data, change):
        if change[0] == "truncate":
            del data[change[1] :]
            data.extend(bytes(change[1] - len(data)))
        else:
            _, new, offset = change
            data.extend(bytes(max(0, offset - len(data))))
            data[offset : offset + len(new)] = new

    def write_sectors(self, data, change, rng):
        _, new, offset = change
        at = 0
        while at < len(new):
            size = self.SECTOR - (offset + at) % self.SECTOR
            if len(new) <= 128 and offset == 0:
                size = len(new)  # a header lies in one real sector
            if rng.random() < 0.5:
                self.apply(data, ("write", new[at : at + size], offset + at))
            at += size


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["typed", "objects"])
@pytest.mark.parametrize("sync", ["interval", "always"])
def test_power_loss(tmp_path, monkeypatch, kind, sync):
    encode = int if kind == "typed" else str
    with monkeypatch.context() as patch:
        disk = Disk(patch, tmp_path / "log")
        synced = []  # items that were synced by then, for each count of operations
        with DiskSink(tmp_path / "log", segment_bytes=400, sync=sync, interval=3600) as sink:
            if kind == "typed":
                sink.send(numbers(0))
            for n in range(0, 120, 8):
                if kind == "typed":
                    sink.send(numbers(n, n + 8))
                else:
                    for m in range(n, n + 8):
                        sink.send(str(m))
                if sync == "interval" and n % 24 == 0:
                    sink.flush()
                if sync == "always" or n % 24 == 0:
                    synced += [synced[-1] if synced else 0] * (len(disk.ops) - len(synced)) + [n + 8]
        synced += [synced[-1]] * (len(disk.ops) - len(synced)) + [120]
    rng = random.Random(7)
    torn = 0
    for i in range(150):
        folder = str(tmp_path / f"after{i}")
        count = rng.randint(0, len(disk.ops))
        disk.after_power_loss(count, rng, folder)
        torn += goes_on(folder, synced[count], encode)
        shutil.rmtree(folder)
    assert torn > 7


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["interval", "always"])
def test_power_loss_after_syncs_that_failed(tmp_path, monkeypatch, sync):
    with monkeypatch.context() as patch:
        disk = Disk(patch, tmp_path / "log", failing=random.Random(2))
        synced = []
        errors = 0
        for _ in range(100):
            with contextlib.suppress(OSError):
                sink = DiskSink(tmp_path / "log", segment_bytes=400, sync=sync, interval=3600)
                sink.send(numbers(0))
                break
            sink.close()
        while sink.count < 120:
            try:
                sink.send(numbers(sink.count, min(sink.count + 8, 120)))
                if sink.count % 24 == 0 or sink.count == 120:
                    sink.flush()
                    synced += [synced[-1] if synced else 0] * (len(disk.ops) - len(synced)) + [sink.count]
            except OSError:
                errors += 1
            assert SpillLog(tmp_path / "log").end == sink.count  # not a block that was refused
        while not sink.closed:
            with contextlib.suppress(OSError):
                sink.close()
        synced += [synced[-1]] * (len(disk.ops) - len(synced)) + [120]
    assert errors > 2
    rng = random.Random(8)
    for i in range(200):
        folder = str(tmp_path / f"after{i}")
        count = rng.randint(0, len(disk.ops))
        disk.after_power_loss(count, rng, folder)
        goes_on(folder, synced[count])
        shutil.rmtree(folder)


def test_short_writes(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        Disk(patch, tmp_path, random.Random(3))
        record(tmp_path / "log", 500, segment_bytes=700)
        with ObjectRing(2, DiskSink(tmp_path / "objects", segment_bytes=100)) as ring:
            ring.extend(map(str, range(100)))
    assert (read(tmp_path / "log") == numbers(500)).all() and read(tmp_path / "objects") == list(map(str, range(100)))


# -- damage --------------------------------------------------------------------------------------------------


def what_is_read(folder, truth):
    """Everything that a damaged recording gives is right, or an error that names the damage. True: noticed."""
    try:
        log = SpillLog(folder)
    except (DamagedError, FileNotFoundError):
        return True
    noticed = bool(log.verify())
    for n in range(log.first, min(log.end, len(truth) + 3)):
        try:
            item = log[n]
        except DamagedError as error:
            noticed = True
            assert error.first is None or error.first <= n < error.last
        else:
            assert item == truth[n]
    assert noticed or (log.first, log.end) == (0, len(truth))
    return noticed


def make_small(folder, kind):
    if kind == "typed":
        record(folder, 14, 7, segment_bytes=150)
        return list(range(14))
    with ObjectRing(1, DiskSink(folder, segment_bytes=90)) as ring:
        ring.extend(["a", b"bc", "", "é"])
    return ["a", b"bc", "", "é"]


def test_the_checksum():
    """As its docstring says it is made; and each byte counts."""

    def mixed(state, word):
        state ^= word
        return (state << 29 | state >> 35) % 2**64 * 0x9E3779B97F4A7C15 % 2**64

    def slowly(data):
        padded = data + bytes(-len(data) % 32)
        lanes = [1, 2, 3, 4]
        for at in range(0, len(padded), 8):
            lane = at // 8 % 4
            lanes[lane] = mixed(lanes[lane], int.from_bytes(padded[at : at + 8], "little"))
        state = lanes[0]
        for word in (*lanes[1:], len(data)):
            state = mixed(state, word)
        return state ^ state >> 32

    rng = random.Random(1)
    for size in [*range(100), 1000, 4096, 65537]:
        data = rng.randbytes(size)
        found = checksum(data)
        assert found == checksum(np.frombuffer(data, "u1")) == slowly(data)
        for _ in range(20 if size else 0):
            bad = bytearray(data)
            for _ in range(rng.randint(1, 3)):
                bad[rng.randrange(size)] ^= 1 << rng.randrange(8)
            assert (checksum(bad) == found) == (bad == data)
        assert checksum(data + b"\0") != found
    values = np.arange(64.0)
    assert checksum(values.tobytes()) != checksum(np.where(np.isin(values, [3, 7]), -values, values).tobytes())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["typed", "objects"])
def test_every_bit(tmp_path, kind):
    truth = make_small(tmp_path, kind)
    assert not what_is_read(tmp_path, truth)
    noticed = total = 0
    for path in tmp_path.iterdir():
        if path.name == "lock":
            continue
        good = path.read_bytes()
        for bit in range(0, len(good) * 8, STEP):
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            path.write_bytes(bad)
            total += 1
            noticed += what_is_read(tmp_path, truth)
        path.write_bytes(good)
    assert total > 2500 // STEP and noticed > 0.9 * total
    assert not what_is_read(tmp_path, truth)


@pytest.mark.parametrize("kind", ["typed", "objects"])
def test_every_file_missing_or_cut(tmp_path, kind):
    truth = make_small(tmp_path, kind)
    for path in list(tmp_path.iterdir()):
        if path.name == "lock":
            continue
        good = path.read_bytes()
        path.unlink()
        assert what_is_read(tmp_path, truth), path
        for size in range(len(good)):
            path.write_bytes(good[:size])
            assert what_is_read(tmp_path, truth), (path, size)
        path.write_bytes(good)


@pytest.mark.parametrize("kind", ["typed", "objects"])
def test_garbage(tmp_path, kind):
    """Whatever is in the files: no crash, nothing wrong, and who writes goes on or says why not."""
    truth = make_small(tmp_path / "good", kind)
    rng = random.Random(11)
    for i in range(300):
        folder = tmp_path / str(i)
        shutil.copytree(tmp_path / "good", folder)
        path = rng.choice(sorted(folder.iterdir()))
        data = bytearray(path.read_bytes())
        at = rng.randint(0, len(data))
        change = rng.choice(["cut", "insert", "overwrite", "repeat", "all"])
        garbage = rng.choice([rng.randbytes(rng.randint(1, 200)), bytes(rng.randint(1, 200)), b"\xff" * 50])
        if change == "cut":
            del data[at : at + rng.randint(1, 50)]
        elif change == "insert":
            data[at:at] = garbage
        elif change == "overwrite":
            data[at : at + len(garbage)] = garbage
        elif change == "repeat":
            data += data[at:]
        else:
            data = garbage
        path.write_bytes(data)
        what_is_read(folder, truth)
        with warnings.catch_warnings(), contextlib.suppress(DamagedError):
            warnings.simplefilter("ignore")
            with DiskSink(folder) as sink:
                sink.send(numbers(5) if kind == "typed" else "x")
        shutil.rmtree(folder)


def test_damage_says_where_and_the_rest_is_readable(tmp_path):
    record(tmp_path, 1000, 10, segment_bytes=2000)
    path = sorted(tmp_path.glob("*.npy"))[1]
    first = int(path.stem)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    log = SpillLog(tmp_path)
    (damage,) = log.verify()
    assert damage.filename == str(path) and damage.first < damage.last and "checksum" in str(damage)
    assert (log[: damage.first] == numbers(damage.first)).all()
    assert (log[damage.last :] == numbers(damage.last, 1000)).all()
    assert first < damage.first
    with pytest.raises(DamagedError, match=f"items {damage.first} to {damage.last}"):
        log[:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with DiskSink(tmp_path) as sink:
            sink.send(numbers(1000, 1010))
    log.refresh()
    assert (log[990:] == numbers(990, 1010)).all()


@pytest.mark.parametrize("kind", ["typed", "objects"])
@pytest.mark.parametrize("which", ["first", "middle", "last"])
@pytest.mark.parametrize("what", ["items gone", "index gone", "both gone", "items cut", "index cut", "header", "empty"])
def test_damage_names_the_file_that_is_to_blame(tmp_path, kind, which, what):
    with DiskSink(tmp_path, segment_bytes=700) as sink:
        ring = ArrayRing(1, "i8", sink) if kind == "typed" else ObjectRing(1, sink)
        for n in range(0, 300, 10):
            ring.extend(numbers(n, n + 10) if kind == "typed" else map(str, range(n, n + 10)))
        ring.flush()
    paths = sorted(tmp_path.glob("*.npy" if kind == "typed" else "*.log"))
    path = paths[{"first": 0, "middle": len(paths) // 2, "last": -1}[which]]
    begin = int(path.stem)
    end = next((int(other.stem) for other in paths if other > path), 300)
    index = path.with_suffix(".index")
    blamed, why, first = path, "it is missing", begin
    if what in ("items gone", "both gone"):
        path.unlink()
    if what in ("index gone", "both gone"):
        index.unlink()
        blamed = path if what == "both gone" else index
    if what == "items cut":
        size = len(header_of(np.dtype("i8") if kind == "typed" else None)) + 30
        os.truncate(path, size)
        why, first = f"it ends after {size} bytes", None
    elif what == "index cut":
        os.truncate(index, 60)
        blamed, why, first = index, "no valid entry", None
    elif what == "header":
        with open(path, "r+b") as file:
            file.write(b"?")
        why, first = "its header is wrong", None
    elif what == "empty":
        os.truncate(path, 0)
        why = "its header is wrong"
    log = SpillLog(tmp_path)
    damage, = log.verify()
    assert damage.filename == str(blamed) and why in damage.why
    assert str(damage).startswith(f"{blamed} is damaged: {damage.why}")
    if damage.first is not None:
        assert begin <= damage.first < damage.last == end and first in (None, damage.first)
        assert f"(items {damage.first} to {damage.last})" in str(damage)
        with pytest.raises(DamagedError, match=re.escape(str(damage))):
            log[:]
    else:
        assert what == "header" or which == "last"  # the items are there; how many there were, nobody knows
    lost = range(damage.first or 0, damage.last or 0)
    assert [int(n) for n in log[: lost.start]] == list(range(lost.start))
    assert [int(n) for n in log[lost.stop :]] == list(range(lost.stop, log.end))


def test_a_full_disk(tmp_path):
    """RLIMIT_FSIZE stands for it: the system cuts a write short, then refuses."""
    script = """
import os, resource, signal, sys, numpy as np
from spill_ring import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ring = ArrayRing(4, "i8", DiskSink(sys.argv[1]))
ring.extend(np.arange(10))
for limit in range(150, 1500, 7):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    before = ring.stats
    try:
        ring.extend(np.arange(before.pushed, before.pushed + 5))
    except OSError as error:
        assert error.errno in (27, 28), error
        assert len(ring) == ring.stats.pushed - ring.stats.spilled and list(ring)[:1] in ([], [ring.stats.spilled])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ring.close()
print(ring.stats.pushed)
"""
    command = [sys.executable, "-P", "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count = int(done.stdout)
    assert count > 50 and (read(tmp_path) == numbers(count)).all()


@pytest.mark.parametrize("sync", ["interval", "always"])
@pytest.mark.parametrize("kind", ["typed", "objects"])
def test_of_a_block_that_is_too_large_a_part_is_taken(tmp_path, kind, sync):
    """As much as has room; the rest stays in the ring."""
    script = """
import errno, resource, sys, numpy as np
from spill_ring import *
kind, sync = sys.argv[2:]
typed = kind == "typed"
sink = DiskSink(sys.argv[1], sync=sync, interval=3600)
ring = ArrayRing(200_000, "i8", sink) if typed else ObjectRing(200_000, sink)
ring.extend(np.arange(200_000) if typed else map(str, range(200_000)))
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        ring.flush()
    except OSError as error:
        assert error.errno == errno.EFBIG
    count = sink.count
    assert ring.stats == (200_000, 0, count, 0) and int(ring[0]) == count
    assert count == (500_000 - 128) // 8 if typed else 30_000 < count < 500_000 / 13, count
    log = SpillLog(sys.argv[1])
    assert log.end == count and log.verify() == []
    assert len(log) == count and int(log[-1]) == count - 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ring.close()
log = SpillLog(sys.argv[1])
assert [int(n) for n in log[:]] == list(range(200_000)) and log.verify() == []
"""
    command = [sys.executable, "-P", "-W", "error", "-c", script, str(tmp_path), kind, sync]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_what_a_reader_has_mapped_is_not_cut_off(tmp_path):
    """It saw a block whose sync failed, and the next write found the disk full: the reader is not killed by SIGBUS."""
    script = """
import errno, os, sys, numpy as np
from spill_ring import *
fdatasync, pwrite = os.fdatasync, os.pwrite
sink = DiskSink(sys.argv[1], sync="always")
sink.send(np.arange(5))
log = SpillLog(sys.argv[1])
def fail(fd):
    log.refresh(), log[-1]
    raise OSError(errno.EIO, "as the disk is")
def full(fd, data, offset):
    if len(data) < 1000:
        return pwrite(fd, data, offset)
    raise OSError(errno.ENOSPC, "no room")
for name, wrong, count in ("fdatasync", fail, 100_000), ("pwrite", full, 200):
    setattr(os, name, wrong)
    try:
        sink.send(np.arange(5, 5 + count))
    except OSError:
        pass
    os.fdatasync, os.pwrite = fdatasync, pwrite
assert log[5:100_005].tolist() == list(range(5, 100_005))
assert log.refresh() == sink.count == 205
sink.close()
assert SpillLog(sys.argv[1]).verify() == []
"""
    command = [sys.executable, "-P", "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, (done.returncode, done.stderr)


# -- a folder that is read-only ------------------------------------------------------------------------------

# Root may write anywhere, so it becomes somebody else, who can't get into pytest's folders.
SOMEBODY = """
import contextlib, io, os, sys, tempfile
from pathlib import Path
import numpy as np
from spill_ring import *

home = Path(sys.argv[1])
folder = home / "log"
is_root = os.geteuid() == 0

def let(path, mode):
    if is_root:
        os.seteuid(0)
    path.chmod(mode)
    if is_root:
        os.seteuid(65534)

def is_refused(call):
    try:
        call()
    except PermissionError as error:
        assert error.filename.startswith(str(home)), error
        return True
    return False
"""


def somebody(script, *args):
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-P", "-c", SOMEBODY + script, home, *args]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr


def test_a_recording_is_refused_where_nobody_may_write():
    somebody("""
let(home, 0o555)
assert is_refused(lambda: DiskSink(folder)) and not folder.exists()
let(home, 0o777)
folder.mkdir()
let(folder, 0o555)
assert is_refused(lambda: DiskSink(folder)) and not list(folder.iterdir())
let(folder, 0o777)
with ArrayRing(3, "i8", DiskSink(folder)) as ring:
    ring.extend(range(10))
assert len(SpillLog(folder)) == 10
""")


@pytest.mark.parametrize("sync", ["interval", "always", "never"])
def test_a_folder_that_becomes_read_only(sync):
    """What was pushed stays in the ring, and goes on once the folder is writable."""
    somebody("""
let(home, 0o777)
ring = ArrayRing(3, "i8", sink := DiskSink(folder, segment_bytes=500, sync=sys.argv[2], interval=3600))
ring.extend(range(10))
let(folder, 0o555)
n, refused = 10, 0
while n < 200:
    before = ring[:].tolist(), ring.stats, sink.count
    if is_refused(lambda: ring.push(n)):
        refused += 1
        assert (ring[:].tolist(), ring.stats, sink.count) == before
        assert SpillLog(folder)[:].tolist() == list(range(sink.count))
        if refused == 5:
            let(folder, 0o777)
    else:
        n += 1
assert 5 <= refused <= 6, refused  # one by the thread may come after
ring.close()
log = SpillLog(folder)
assert log[:].tolist() == list(range(200)) and log.verify() == []
""", sync)


def test_reading_where_nobody_may_write():
    pytest.importorskip("plotext", reason="no wheel of it here")
    somebody("""
from spill_ring.cli.app import export_to, show, tail
def everything():
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
with contextlib.redirect_stdout(io.StringIO()), ArrayRing(3, sink=DiskSink(home / "other")) as ring:
    ring.extend(range(10))
    ring.flush()
    show(home / "other", None)  # and what it imports is there: somebody may not even read that
let(home, 0o777)
with ArrayRing(3, "i8", DiskSink(folder, segment_bytes=2000)) as ring:
    for n in range(0, 1000, 10):
        ring.extend(range(n, n + 10))
for path in folder.iterdir():
    let(path, 0o444)
let(folder, 0o555)
before = everything()
assert is_refused(lambda: DiskSink(folder))
log = SpillLog(folder)
assert log[:].tolist() == list(range(1000)) and log.verify() == [] and log.refresh() == 1000
with contextlib.redirect_stdout(io.StringIO()) as said:
    assert show(folder, None) == 0
    tail(folder, 3, False)
assert "1,000" in said.getvalue() and said.getvalue().endswith("997\\n998\\n999\\n")
export_to(folder, home / "out.npy", False)
assert np.load(home / "out.npy").tolist() == list(range(1000))
assert everything() == before
""")


# -- the end of an interpreter, and forks --------------------------------------------------------------------


def ends(tmp_path, script):
    """Run a script that has `folder`; its recording must be sound afterwards."""
    start = "import os, sys, time, numpy as np\nfrom spill_ring import *\nfolder = sys.argv[1]\n"
    done = subprocess.run(
        [sys.executable, "-P", "-c", start + script, str(tmp_path / "log")],
        capture_output=True, text=True, check=False, timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("cycle", [False, True])
def test_an_interpreter_that_ends_without_close(tmp_path, cycle):
    """Its thread syncs all the time: were it ended with a lock, the flush at exit would wait for ever."""
    for i in range(6):
        ends(tmp_path / str(i), f"""
os.mkdir(os.path.dirname(folder))
sink = DiskSink(folder, interval=0.001, segment_bytes=4000)
ring = ArrayRing(4, "i8", sink)
if {cycle}:
    kept = [ring]
    kept.append(kept)
ring.extend(np.arange(20_000))
time.sleep(0.02)
ring.extend(np.arange(20_000, 20_100))
""")
        assert read(tmp_path / str(i) / "log").tolist() == list(range(20_100))


def test_a_fork_in_an_encoder_leaves_the_parents_files_alone(tmp_path):
    ends(tmp_path, """
top = os.getpid()
class Encoder:
    name = "e"
    child = None
    def encode(self, value):
        if value == "x50" and os.getpid() == top:
            self.child = os.fork()
        return value.encode()
    def decode(self, data):
        return data.decode()
encoder = Encoder()
sink = DiskSink(folder, segment_bytes=300, encoder=encoder)
ring = ObjectRing(1, sink)
try:
    ring.extend([f"x{i}" for i in range(200)])
except RuntimeError as error:
    os._exit(7 if os.getpid() != top and "belongs to the process" in str(error) else 1)
if os.getpid() != top:
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(encoder.child, 0)[1]) == 7
ring.close()
log = SpillLog(folder, encoder=encoder)
assert log.verify() == [] and list(log) == [f"x{i}" for i in range(200)]
""")


def test_a_thread_that_can_not_be_started(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: 1 // 0)
        sink = DiskSink(tmp_path)
        with pytest.raises(ZeroDivisionError):
            sink.send(numbers(0, 3))
    sink.send(numbers(0, 3))
    sink.close()
    assert len(read(tmp_path)) == 3
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: 1 // 0)
        sink = DiskSink(tmp_path)
        with pytest.raises(ZeroDivisionError):
            sink.send(numbers(3, 4))
        sink.close()
