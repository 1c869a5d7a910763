"""The sources that `record` reads: files, standard input, and this machine itself."""
import os
import stat
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 1 << 20  # of a .npy file, at most: numpy's own limit is reached by records of 400 fields
RATE = 10.0  # samples of the machine per second
SYSTEM = np.dtype(
    [
        ("time", "M8[us]"),  # UTC
        ("cpu_percent", "f8"),  # of all cores, since the sample before
        ("memory_bytes", "i8"),  # that programs can't have
        ("disk_read_bytes", "i8"),  # these four count from the machine's start; 0 where the system doesn't tell
        ("disk_written_bytes", "i8"),
        ("net_received_bytes", "i8"),
        ("net_sent_bytes", "i8"),
    ]
)


class Source(NamedTuple):
    """Where items are read from."""

    name: str
    fd: int  # positioned at the first item
    dtype: np.dtype[Any]  # of the items
    nbytes: int | None  # bytes to read; None: to the end of the stream
    stored: np.dtype[Any] | None = None  # the dtype as it is read, where it isn't `dtype`
    decode: Callable[[NDArray[Any]], NDArray[Any]] | None = None  # from `stored` to `dtype`

    @property
    def itemsize(self) -> int:
        """Bytes of an item as it is read."""
        return (self.stored or self.dtype).itemsize


@contextmanager
def open_source(name: str, dtype: str | None = None, rate: float | None = None) -> Iterator[Source]:
    """Open what is to be recorded.

    Parameters
    ----------
    name : str
        A path, ``-`` for standard input, or ``system`` for this machine.
    dtype : str or None
        The dtype of raw items: on standard input, and in a file that is neither ``.npy`` nor ``.wav``.
    rate : float or None
        Samples of this machine per second, 10 by default.

    Yields
    ------
    Source

    Raises
    ------
    OSError, TypeError, ValueError
        No items can be read from it.
    ModuleNotFoundError
        ``system`` needs psutil.
    """
    if rate is not None and name != "system":
        raise ValueError("--rate is for system; every other source has its own rate")
    self_describing = {"system": "system", ".npy": "a .npy file", ".wav": "a .wav file"}
    kind = name if name == "system" else os.path.splitext(name)[1].lower()
    if dtype is not None and (which := self_describing.get(kind)):
        raise ValueError(f"--dtype is for standard input and raw files; {which} knows its own")
    if name == "system":
        with _system(RATE if rate is None else rate) as source:
            yield source
    elif name == "-":
        raw = _raw("standard input", dtype)
        if sys.stdin is None:  # another file may have its descriptor by now
            raise ValueError("standard input is closed")
        yield Source("standard input", 0, raw, None)
    elif name.lower().endswith(".npz"):
        raise ValueError(f"{name}: several arrays in one file can't be recorded; save the one that is meant as .npy")
    else:
        if kind in self_describing and Path(name).is_fifo():
            raise ValueError(f"{name} is a pipe, and {self_describing[kind]} is read from its beginning to its end")
        with open(name, "rb", buffering=0) as file:
            if name.lower().endswith(".npy"):
                yield _npy(name, file)
            elif name.lower().endswith(".wav"):
                yield _wav(name, file)
            else:
                status = os.fstat(file.fileno())
                nbytes = status.st_size if stat.S_ISREG(status.st_mode) else None
                yield Source(name, file.fileno(), _raw(name, dtype), nbytes)


def _raw(name: str, dtype: str | None) -> np.dtype[Any]:
    if dtype is None:
        raise ValueError(f"{name}: raw items need their --dtype, as in --dtype f4")
    try:
        return np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError) as error:
        raise ValueError(f"--dtype {dtype}: {error}") from None


def _npy(name: str, file: BinaryIO) -> Source:
    try:
        # This checks the header and the length, and reads no item.
        stored = np.lib.format.open_memmap(name, mode="r", max_header_size=HEADER_BYTES)
    except (MemoryError, RecursionError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None
    if stored.ndim == 0:
        raise ValueError(f"{name}: a single value, not an array of items")
    if not stored.flags.c_contiguous:
        raise ValueError(f"{name}: the array is in Fortran order; save np.ascontiguousarray() of it")
    file.seek(stored.offset)
    return Source(name, file.fileno(), np.dtype((stored.dtype, stored.shape[1:])), stored.nbytes)


def _wav(name: str, file: BinaryIO) -> Source:
    try:
        header = wave.open(file)  # leaves the file at the first frame
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{name}: {str(error) or 'it ends within its header'}") from None
    channels, width = header.getnchannels(), header.getsampwidth()
    if width > 4:
        raise ValueError(f"{name}: samples of {8 * width} bits; 8, 16, 24 and 32 can be read")
    shape = () if channels == 1 else (channels,)
    left = os.fstat(file.fileno()).st_size - file.tell()
    nbytes = min(header.getnframes() * channels * width, left)  # a program that writes to a pipe can't know the length
    dtype = np.dtype(({1: "u1", 2: "<i2", 3: "<i4", 4: "<i4"}[width], shape))
    if width == 3:
        return Source(name, file.fileno(), dtype, nbytes, np.dtype(("u1", (*shape, 3))), widened)
    return Source(name, file.fileno(), dtype, nbytes)


def widened(samples: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Samples of 24 bits as int32 of the same values. The last dimension of `samples` holds their bytes."""
    wide = np.zeros((*samples.shape[:-1], 4), "u1")
    wide[..., 1:] = samples
    return wide.view("<i4")[..., 0] >> 8


@contextmanager
def _system(rate: float) -> Iterator[Source]:
    """Sample this machine in a thread that writes to a pipe, so that a slow disk delays no sample."""
    sample()  # raises at once what can't be sampled
    end, start = os.pipe()
    stop = threading.Event()
    thread = threading.Thread(target=_sample_periodically, args=(start, rate, stop), daemon=True)
    thread.start()
    try:
        yield Source("system", end, SYSTEM, None)
    finally:
        stop.set()
        os.close(end)  # a write that waits for space in the pipe fails then
        thread.join()


def _sample_periodically(fd: int, rate: float, stop: threading.Event) -> None:
    sample()  # psutil reports the load since the sample before in the same thread
    due = time.monotonic() + 1 / rate
    try:
        while not stop.wait(due - time.monotonic()):
            os.write(fd, sample().tobytes())
            due = max(due + 1 / rate, time.monotonic())  # samples that were missed are not made up for
    except BrokenPipeError:
        pass
    finally:
        os.close(fd)


def sample() -> NDArray[np.void]:
    """Sample this machine: ndarray of one `SYSTEM` item."""
    import psutil

    memory = psutil.virtual_memory()
    counts = [
        _counter(psutil.disk_io_counters, "read_bytes"),
        _counter(psutil.disk_io_counters, "write_bytes"),
        _counter(psutil.net_io_counters, "bytes_recv"),
        _counter(psutil.net_io_counters, "bytes_sent"),
    ]
    now = np.datetime64(time.time_ns() // 1000, "us")
    return np.array([(now, psutil.cpu_percent(), memory.total - memory.available, *counts)], SYSTEM)


def _counter(counters: Callable[[], object], name: str) -> int:
    """Read a counter of the system; 0 where there is none, as in some containers."""
    try:
        return int(getattr(counters(), name, 0))
    except (NotImplementedError, OSError):
        return 0
