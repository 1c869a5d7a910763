"""Damage: found, named, and all else is readable."""
import contextlib
import os
import random
import re
import shutil
import warnings

import numpy as np
import pytest

from helpers.recordings import STEP, numbers, record_numbers
from spill_ring import ArrayRing, DamagedError, DiskSink, ObjectRing, SpillLog
from spill_ring.recording.layout import header_of

pytestmark = pytest.mark.not_sanitized


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
        record_numbers(folder, 14, 7, segment_bytes=150)
        return list(range(14))
    with ObjectRing(1, DiskSink(folder, segment_bytes=90)) as ring:
        ring.extend(["a", b"bc", "", "é"])
    return ["a", b"bc", "", "é"]


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


@pytest.mark.slow
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


@pytest.mark.slow
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
    record_numbers(tmp_path, 1000, 10, segment_bytes=2000)
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


@pytest.mark.slow
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
