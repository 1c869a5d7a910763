"""FileSink."""
import io
import os
import resource
import signal

import numpy as np
import pytest

from helpers.model import Boom
from spill_ring import (
    ArrayRing,
    FileSink,
    ObjectRing,
)


@pytest.mark.thread_unsafe(reason="all threads would have the same folder")
@pytest.mark.parametrize("dtype", ["f8", ">i2", "M8[s]", "U3", [("a", "i2"), ("b", "f4")], ("f4", (2,))])
def test_file_sink_writes_the_bytes(dtype, tmp_path):
    items = np.zeros(10, dtype)
    items.view("u1")[...] = np.arange(items.nbytes).reshape(items.view("u1").shape) % 50
    with open(tmp_path / "raw", "wb") as file:
        with ArrayRing(3, dtype, FileSink(file)) as ring:
            ring.extend(items)
        assert not file.closed
    assert (tmp_path / "raw").read_bytes() == items.tobytes()


def test_file_sink_finishes_a_broken_item():
    class Chokes(io.RawIOBase):
        """Writes 5 bytes at a time, and raises at every third write."""

        def __init__(self):
            self.data = bytearray()
            self.writes = 0

        def writable(self):
            return True

        def write(self, data):
            self.writes += 1
            if self.writes % 3 == 0:
                raise OSError(28, "No space left on device")
            self.data += data[:5]
            return len(data[:5])

    file = Chokes()
    ring = ArrayRing(4, "i8", FileSink(file))
    numbers = np.arange(300)
    for _ in range(1000):
        done = ring.stats.pushed
        try:
            if done == len(numbers):
                ring.close()
                break
            ring.extend(numbers[done : done + 9])
        except OSError:
            pass
    assert ring.closed
    assert np.frombuffer(file.data, "i8").tolist() == numbers.tolist()


@pytest.mark.thread_unsafe(reason="signals and limits are the process's")
def test_file_sink_on_a_file_that_may_grow_no_more(tmp_path):
    path = tmp_path / "limited"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open(path, "wb", buffering=0) as file:
        ring = ArrayRing(10, "i8", FileSink(file))
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
            with pytest.raises(OSError):
                ring.extend(range(40))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, old)
        # 12 items and half of one got through: the half counts, and is finished first
        assert ring.stats == (13, 0, 13, 0) and os.path.getsize(path) == 100
        ring.extend(range(13, 40))
        ring.close()
    assert np.fromfile(path, "i8").tolist() == list(range(40))


def test_file_sink_refuses():
    for bad in (3, "path", io.StringIO()):
        with pytest.raises(TypeError, match="binary file"):
            FileSink(bad)
    with pytest.raises(TypeError, match="bytes"):
        ObjectRing(2, FileSink(io.BytesIO()))

    with open(os.devnull, "rb") as file, pytest.raises(ValueError, match="not open for writing"):
        FileSink(file)

    class NotReady(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            return None

    ring = ArrayRing(1, sink=FileSink(NotReady()))
    with pytest.raises(BlockingIOError):
        ring.extend([1, 2])


def test_a_socket_is_no_sink():
    import socket

    with socket.socket() as connection, pytest.raises(TypeError, match="makefile"):
        ArrayRing(2, sink=connection)


@pytest.mark.thread_unsafe(reason="signals are for the main thread")
def test_signals_do_not_double_items(tmp_path):
    """Each is interrupted at some moment, and what was recorded is what was pushed."""
    for n in range(30):
        path = tmp_path / f"{n}"
        with open(path, "wb", buffering=0) as file:
            ring = ArrayRing(1, "i8", FileSink(file))
            old = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(Boom))
            signal.setitimer(signal.ITIMER_REAL, 0.001 + n * 0.0003)
            try:
                while True:
                    ring.extend([ring.stats.pushed])
            except Boom:
                pass
            finally:
                signal.signal(signal.SIGALRM, old)
            ring.close()
        assert np.array_equal(np.fromfile(path, "i8"), np.arange(ring.stats.pushed))
