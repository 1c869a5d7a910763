"""`DiskSink`: what it takes, refuses, keeps and removes."""
import contextlib
import gc
import os
import shutil
import sys
import threading
import time

import numpy as np
import pytest

from helpers.children import run_child
from helpers.recordings import numbers, read_all, record_numbers
from spill_ring import ArrayRing, BackgroundSink, DiskSink, ObjectRing, SpillLog, TeeSink

pytestmark = pytest.mark.not_sanitized

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


def test_it_goes_on_where_it_ended(tmp_path):
    for n in range(0, 300, 30):
        with DiskSink(tmp_path, segment_bytes=500) as sink:
            assert sink.count == 0  # nothing is known before the dtype is
            sink.send(numbers(n, n + 30))
            assert sink.count == n + 30
    assert (read_all(tmp_path) == numbers(300)).all()
    with pytest.raises(TypeError, match=r"holds items of dtype\('int64'\), so it can't go on with items of .*float64"):
        ArrayRing(3, "f8", DiskSink(tmp_path))
    with pytest.raises(TypeError, match="can't go on with objects"):
        ObjectRing(3, DiskSink(tmp_path))
    assert (read_all(tmp_path) == numbers(300)).all()


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
    record_numbers(tmp_path, 0)
    with DiskSink(tmp_path) as sink:
        sink.send(numbers(5000, 5001))
        assert sink.removed == log.first


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_removed_under_the_recording(tmp_path, replaced):
    sink = DiskSink(tmp_path / "log", interval=3600)
    ring = ArrayRing(1, "i8", sink)
    ring.extend(numbers(0, 5))
    shutil.rmtree(tmp_path / "log")
    if replaced:
        record_numbers(tmp_path / "log", 3)
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
        assert len(read_all(tmp_path / "log")) == 3


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
    assert (read_all(tmp_path) == numbers(25)).all()


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


@pytest.mark.slow
def test_behind_other_sinks(tmp_path):
    background = BackgroundSink(TeeSink(DiskSink(tmp_path / "a"), DiskSink(tmp_path / "b", segment_bytes=100)), 100)
    with ArrayRing(3, "i8", background) as ring:
        ring.extend(numbers(1000))
    assert (read_all(tmp_path / "a") == numbers(1000)).all() and (read_all(tmp_path / "b") == numbers(1000)).all()


def test_a_full_disk(tmp_path):
    """RLIMIT_FSIZE stands for it: the system cuts a write short, then refuses."""
    count = int(run_child("recording/record_on_a_full_disk", tmp_path))
    assert count > 50 and (read_all(tmp_path) == numbers(count)).all()


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["interval", "always"])
@pytest.mark.parametrize("kind", ["typed", "objects"])
def test_of_a_block_that_is_too_large_a_part_is_taken(tmp_path, kind, sync):
    """As much as has room; the rest stays in the ring."""
    run_child("recording/send_too_large_a_block", tmp_path, kind, sync, options=("-W", "error"))


@pytest.mark.slow
@pytest.mark.parametrize("cycle", [False, True])
def test_an_interpreter_that_ends_without_close(tmp_path, cycle):
    """Its thread syncs all the time: were it ended with a lock, the flush at exit would wait for ever."""
    for i in range(6):
        run_child("recording/end_without_close", tmp_path / str(i) / "log", int(cycle))
        assert read_all(tmp_path / str(i) / "log").tolist() == list(range(20_100))


def test_a_thread_that_can_not_be_started(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: 1 // 0)
        sink = DiskSink(tmp_path)
        with pytest.raises(ZeroDivisionError):
            sink.send(numbers(0, 3))
    sink.send(numbers(0, 3))
    sink.close()
    assert len(read_all(tmp_path)) == 3
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: 1 // 0)
        sink = DiskSink(tmp_path)
        with pytest.raises(ZeroDivisionError):
            sink.send(numbers(3, 4))
        sink.close()


@pytest.mark.parametrize("poison", [(1, 2.5), None, {"a": 1}])
def test_an_object_that_it_will_never_take_can_be_looked_at_and_taken_out(tmp_path, poison):
    """The sink keeps none: what it refused is still the ring's, and all else is recorded."""
    ring = ObjectRing(2, sink := DiskSink(tmp_path, sync="never"))
    for item in ("a", "b", poison, "c"):
        ring.push(item)
    for refused in (lambda: ring.push("d"), ring.flush, ring.close):
        with pytest.raises(TypeError, match="neither bytes nor str"):
            refused()
    assert sink.count == 2 and ring.peek() == poison
    assert ring.pop() == poison
    ring.extend("de")
    ring.close()
    assert list(SpillLog(tmp_path)) == list("abcde")
