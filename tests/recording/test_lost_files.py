"""A file that is lost, or replaced, stops no recording; no link is followed, and no pipe waited for."""
import contextlib
import errno
import gc
import os
import socket
import warnings

import numpy as np
import pytest

from helpers.recordings import numbers, read_all
from spill_ring import ArrayRing, DamagedError, DiskSink, ObjectRing, SpillLog

pytestmark = pytest.mark.not_sanitized


SYNCS = pytest.mark.parametrize("sync", [
    pytest.param("interval", marks=pytest.mark.slow), pytest.param("always", marks=pytest.mark.slow), "never"
])  # Where nothing is synced all is done in no time.


def items_of(kind, start, stop):
    return numbers(start, stop) if kind == "typed" else [str(n) for n in range(start, stop)]


def a_ring(kind, sink):
    return ArrayRing(1, "i8", sink) if kind == "typed" else ObjectRing(1, sink)


def record(folder, kind, start, stop, **options):
    with a_ring(kind, DiskSink(folder, segment_bytes=500, **options)) as ring:
        for n in range(start, stop, 10):
            ring.extend(items_of(kind, n, min(n + 10, stop)))


def readable(log):
    """The numbers that can be read; for each other one there is a DamagedError that names it."""
    found = {}
    for n in range(log.first, log.end):
        try:
            found[n] = int(log[n])
        except DamagedError as error:
            assert error.first <= n < error.last
    assert all(n == item for n, item in found.items())
    return set(found)


# -- between two runs ------------------------------------------------------------------------------


@SYNCS
@pytest.mark.parametrize("kind", ["typed", "objects"])
@pytest.mark.parametrize("which", [0, 1, 2, -1])
@pytest.mark.parametrize("lost", ["items", "index", "both", "lock"])
def test_a_file_that_is_lost_between_two_runs(tmp_path, kind, sync, which, lost):
    record(tmp_path, kind, 0, 300, sync=sync)
    paths = sorted(tmp_path.glob("*.npy" if kind == "typed" else "*.log"))
    path = paths[which]
    begin = int(path.stem)
    end = int(paths[which + 1].stem) if path != paths[-1] else 300
    if lost == "lock":
        (tmp_path / "lock").unlink()
    if lost in ("items", "both"):
        path.unlink()
    if lost in ("index", "both"):
        path.with_suffix(".index").unlink()
    for keep_bytes in (None, 10**6):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with a_ring(kind, sink := DiskSink(tmp_path, segment_bytes=500, sync=sync, keep_bytes=keep_bytes)) as ring:
                ring.push(items_of(kind, 0, 1)[0])
                ring.flush()
                start = sink.count
                assert start > 300 or (lost == "both" and path == paths[-1])
                ring.extend(items_of(kind, start, start + 100))
        log = SpillLog(tmp_path)
        assert log.end == start + 100
        assert [int(item) for item in log[start:]] == list(range(start, start + 100))
    assert [int(item) for item in log[:begin]] == list(range(begin))
    if lost != "lock":
        damages = log.verify()
        assert damages and all(begin <= damage.first < damage.last <= max(end, 300) for damage in damages)
        with pytest.raises(DamagedError):
            log[begin]
    else:
        assert log.verify() == []


@pytest.mark.parametrize("keep_bytes", [1000, 2500])
@pytest.mark.parametrize("lost", ["*.npy", "*.index", "*"])
def test_what_is_lost_is_removed_too(tmp_path, keep_bytes, lost):
    """Of all segments but the last one; nothing of them stays for ever."""
    record(tmp_path, "typed", 0, 1000, sync="never")
    for path in sorted(tmp_path.glob("0" + lost))[:-2]:
        path.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with DiskSink(tmp_path, segment_bytes=500, keep_bytes=keep_bytes, sync="never") as sink:
            for n in range(1000, 2000, 10):
                sink.send(numbers(n, n + 10))
            sink.flush()
            removed = sink.removed
    assert removed >= 1000
    assert {int(path.stem) for path in tmp_path.glob("0*")} <= set(range(removed, 2000))
    assert (SpillLog(tmp_path)[removed:] == numbers(removed, 2000)).all()


def test_a_manifest_that_is_lost_between_two_runs(tmp_path):
    record(tmp_path / "typed", "typed", 0, 300)
    record(tmp_path / "objects", "objects", 0, 300)
    for folder in tmp_path.iterdir():
        (folder / "manifest").unlink()
        if folder.name == "typed":
            (folder / f"{0:020d}.index").unlink()
    with pytest.raises(DamagedError, match=r"it is missing, and no segment holds items of .*float64"):
        DiskSink(tmp_path / "typed").send(np.zeros(3))
    with pytest.raises(DamagedError, match="it is missing, and nothing else says by which encoder"):
        DiskSink(tmp_path / "objects").send("x")
    with pytest.warns(RuntimeWarning, match="manifest is missing: it was written again"):
        record(tmp_path / "typed", "typed", 300, 400)
    log = SpillLog(tmp_path / "typed")
    assert log.first == 0 and log.end == 400
    damage, = log.verify()
    assert damage.first == 0 and (log[damage.last :] == numbers(damage.last, 400)).all()


# -- while it runs ---------------------------------------------------------------------------------


def unlink(path):
    path.unlink()


def rename(path):
    path.rename(path.with_name("elsewhere"))


def replace_by(make):
    """At once: the sink's thread may look at any moment."""

    def replace(path):
        new = path.with_name("new")
        make(new)
        new.rename(path)

    replace.__name__ = make.__name__
    return replace


def bind(path):
    here = os.getcwd()
    os.chdir(path.parent)  # The path of a socket must be short.
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def link(path):
    path.symlink_to(path.with_name("precious"))
    path.with_name("precious").write_text("precious")


def touch(path):
    path.touch()


@SYNCS
@pytest.mark.parametrize("kind", ["typed", "objects"])
@pytest.mark.parametrize("lose", [unlink, rename, *map(replace_by, (touch, link, os.mkfifo, bind))])
@pytest.mark.parametrize("lost", ["items", "index", "manifest", "lock"])
@pytest.mark.thread_unsafe(reason="changes the working folder")
def test_a_file_that_is_lost_while_it_runs(tmp_path, kind, sync, lose, lost):
    """It is written again, and said; all items are there."""
    folder = tmp_path / "log"
    keep_bytes = None if kind == "typed" else 10**6
    ring = a_ring(kind, DiskSink(folder, segment_bytes=500, sync=sync, keep_bytes=keep_bytes, interval=3600))
    ring.extend(items_of(kind, 0, 205))
    ring.flush()
    ring.extend(items_of(kind, 205, 210))
    last = max(folder.glob("*.index"))
    path = {"items": last.with_suffix(".npy" if kind == "typed" else ".log"), "index": last}.get(lost, folder / lost)
    if lost == "manifest" and lose.__name__ == "touch":
        lose = unlink  # An empty manifest is damage, which the reader names.
    with pytest.warns(RuntimeWarning, match=f"{path.name} (was removed|is missing)"):
        lose(path)
        ring.extend(items_of(kind, 210, 220))
        ring.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ring.extend(items_of(kind, 220, 400))
        with pytest.raises(BlockingIOError, match=f"process {os.getpid()} writes to it"):
            DiskSink(folder)
        ring.close()
    assert [int(item) for item in read_all(folder)] == list(range(400))
    assert path.is_file() and not path.is_symlink()
    assert lose.__name__ != "link" or (folder / "precious").read_text() == "precious"


def test_a_sealed_file_that_is_lost_while_it_runs(tmp_path):
    with DiskSink(tmp_path, segment_bytes=500, keep_bytes=5000, sync="never") as sink:
        sink.send(numbers(300))
        for n in range(300, 3000, 10):
            sink.send(numbers(n, n + 10))
            if n % 300 == 0:
                sink.flush()
                min(tmp_path.glob("*.npy")).unlink()
                sorted(tmp_path.glob("*.index"))[1].unlink(missing_ok=True)
    log = SpillLog(tmp_path)
    assert log.end == 3000 and max(readable(log)) == 2999


# -- what lies in the place of a file ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["lock", "manifest.new", f"{0:020d}.npy", f"{0:020d}.index"])
def test_no_link_is_followed(tmp_path, name):
    """What it points to is not changed."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / name).symlink_to(precious)
    try:
        with DiskSink(tmp_path / "log") as sink:
            sink.send(numbers(3))
    except DamagedError as error:
        assert error.why == "it is a symbolic link, and should be a file"
        assert error.filename == str(tmp_path / "log" / name)
    else:
        assert (read_all(tmp_path / "log") == numbers(3)).all()
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("nowhere", path)])
def test_the_next_segment_finds_no_file_in_its_place(tmp_path, make):
    """The push is refused, and what was pushed stays in the ring until the place is free."""
    ring = ArrayRing(2, "i8", sink := DiskSink(tmp_path, segment_bytes=500, sync="never"))
    ring.extend(numbers(0, 60))
    begin = int(max(tmp_path.glob("*.npy")).stem)
    path = tmp_path / f"{2 * begin:020d}.npy"
    make(path)
    with pytest.raises(DamagedError, match=r"it is a (FIFO|directory|symbolic link), and should be a file"):
        ring.extend(numbers(60, 150))
    assert sink.count == 2 * begin and ring[:].tolist() == list(range(2 * begin, ring.stats.pushed))
    (os.rmdir if path.is_dir() else os.unlink)(path)
    ring.extend(numbers(ring.stats.pushed, 150))
    ring.close()
    assert (read_all(tmp_path) == numbers(150)).all()


# -- a first use that failed, or that had no item -----------------------------------------------------


class Other:
    name = "other"

    def encode(self, value):
        return repr(value).encode()

    def decode(self, data):
        return data.decode()


FIRST_USES = {
    "an object of a wrong type": lambda sink: sink.send((1, 2.5)),
    "objects": lambda sink: ObjectRing(3, sink),
    "no items": lambda sink: sink.send(np.empty(0, "f4")),
    "a ring": lambda sink: ArrayRing(9, "u1", sink),
    "records": lambda sink: ArrayRing(9, [("a", "i4"), ("b", "S3")], sink),
    "nothing": lambda sink: None,
    "a disk that fails": lambda sink: sink.send(np.zeros(5, "i2")),
}


@pytest.mark.parametrize("first", FIRST_USES)
@SYNCS
def test_a_first_use_decides_nothing_unless_it_recorded_something(tmp_path, monkeypatch, first, sync):
    pwrite = os.pwrite

    def fail(fd, data, offset):
        if offset >= 56 and first == "a disk that fails":  # behind a header; and in the index
            pwrite(fd, data[:3], offset)
            raise OSError(errno.EIO, "as the disk is")
        return pwrite(fd, data, offset)

    for second in ("typed", "objects", "encoder"):
        folder = tmp_path / second
        with monkeypatch.context() as patch, contextlib.suppress(TypeError, OSError):
            patch.setattr(os, "pwrite", fail)
            with DiskSink(folder, sync=sync) as sink:
                FIRST_USES[first](sink)
        del sink
        gc.collect()
        items = numbers(5) if second == "typed" else ["a", "b"]
        encoder = Other() if second == "encoder" else None
        for end in (5, 10) if second == "typed" else (2, 4):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with a_ring(second, sink := DiskSink(folder, sync=sync, encoder=encoder)) as ring:
                    ring.extend(items)
                    ring.flush()
                    assert sink.count == end
        log = SpillLog(folder, encoder=encoder)
        assert log.verify() == []
        assert list(map(str, log)) == list(map(repr if encoder else str, items)) * 2
        assert len(list(folder.iterdir())) == 4, sorted(folder.iterdir())


def test_a_recording_that_has_items_keeps_their_kind(tmp_path):
    """Also if they are only in the header, or only in the index, or only in the items."""
    for kept in ("npy", "index"):
        folder = tmp_path / kept
        record(folder, "typed", 0, 20)
        for path in set(folder.glob("0*")) - set(folder.glob(f"0*.{kept}")):
            path.unlink()
        with pytest.raises(TypeError, match=r"holds items of dtype\('int64'\), so it can't go on with objects"):
            DiskSink(folder).send("x")


# -- a write that writes nothing ---------------------------------------------------------------------


def test_a_write_that_writes_nothing_is_an_error(tmp_path, monkeypatch):
    with DiskSink(tmp_path) as sink:
        sink.send(numbers(5))
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", lambda fd, data, offset: 0)
            with pytest.raises(OSError, match="wrote nothing"):
                sink.send(numbers(5, 9))
        sink.send(numbers(5, 12))
    assert (read_all(tmp_path) == numbers(12)).all()
