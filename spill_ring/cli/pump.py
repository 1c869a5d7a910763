"""The loop of `record`: it reads a source and pushes to a ring, until the source, the time or a signal ends it."""
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from spill_ring.cli.sources import Source
from spill_ring.rings.array import ArrayRing

BLOCK = 1 << 20  # bytes read at once
INTERVAL = 1.0  # seconds after which items that were read are handed over


@contextmanager
def signal_pipe(*signals: int) -> Iterator[int]:
    """Turn signals into bytes on a pipe, and give its readable end.

    An exception could come between a write and its accounting, and a mere flag would leave a read
    waiting for input that may not come.
    """
    end, start = os.pipe()
    os.set_blocking(start, False)
    previous_fd = signal.set_wakeup_fd(start)
    previous = {number: signal.signal(number, lambda *_: None) for number in signals}
    try:
        yield end
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_fd)
        os.close(start)
        os.close(end)


def pump(
    source: Source,
    ring: ArrayRing[Any],
    hand_over: Callable[[], object],
    stop: int,
    advance: Callable[[int], object],
    seconds: float | None = None,
) -> tuple[int, int]:
    """Push all items of a source, in blocks.

    Parameters
    ----------
    source : Source
    ring : ArrayRing
        Receives the items.
    hand_over : callable
        Called each second, also while nothing comes.
    stop : int
        A file descriptor. The loop ends as soon as a byte can be read from it.
    advance : callable
        Called after each read with the number of bytes.
    seconds : float, optional
        Time after which the loop ends.

    Returns
    -------
    int
        Bytes of an incomplete item at the end, which are dropped.
    int
        The byte from `stop`, 0 where the source or the time came to its end.
    """
    stored = source.stored or source.dtype
    itemsize = stored.itemsize
    block = np.empty(max(BLOCK // itemsize, 1), stored)
    buffer = block.reshape(-1).view("u1").data
    left = source.nbytes
    filled = 0  # bytes in the buffer
    end = time.monotonic() + seconds if seconds is not None else float("inf")
    due = time.monotonic() + INTERVAL
    while left != 0 and (now := time.monotonic()) < end:
        if now >= due:
            hand_over()
            now = time.monotonic()
            due = now + INTERVAL
        ready = select.select([source.fd, stop], [], [], max(min(due, end) - now, 0))[0]
        # Read the input first: what a pipe holds when Ctrl-C ends both of its sides is not lost.
        if source.fd in ready:
            nbytes = read_into(source, buffer[filled:] if left is None else buffer[filled : filled + left])
            if nbytes == 0:
                break
            advance(nbytes)
            if left is not None:
                left -= nbytes
            count, rest = divmod(filled + nbytes, itemsize)
            ring.extend(block[:count] if source.decode is None else source.decode(block[:count]))
            buffer[:rest] = buffer[count * itemsize : filled + nbytes]
            filled = rest
        if stop in ready:
            return filled, os.read(stop, 1)[0]
    return filled, 0


def read_into(source: Source, buffer: memoryview) -> int:
    """Read from a source; an OSError names it."""
    try:
        return os.readv(source.fd, [buffer])
    except OSError as error:
        error.filename = source.name
        raise
