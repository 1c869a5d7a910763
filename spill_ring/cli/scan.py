"""Going through a recording once, from one end to the other, in memory that doesn't grow with it."""
from collections.abc import Iterator

import numpy as np

from spill_ring.recording.layout import DamagedError
from spill_ring.recording.log import SpillLog

BLOCK = 1 << 22  # bytes in a block, at most
PART = 1 << 28  # bytes that are read from one log: what it has read stays mapped


def scan(log: SpillLog, start: int, stop: int) -> Iterator[np.ndarray]:
    """The items in blocks.

    Parameters
    ----------
    log : SpillLog
        Not of objects.
    start, stop : int
        Sequence numbers between which to read.

    Yields
    ------
    ndarray

    Raises
    ------
    DamagedError
        An item can't be read.
    IndexError
        It was removed.
    """
    block, part = (max(nbytes // log.dtype.itemsize, 1) for nbytes in (BLOCK, PART))
    for at in range(start, stop, part):
        yield from SpillLog(log.path).blocks(block, start=at, stop=min(at + part, stop))


def scan_sound(log: SpillLog) -> Iterator[tuple[int, np.ndarray]]:
    """The same of all that can be read: each block after its first sequence number."""
    at, end = log.first, log.end
    stop = end
    while at < end:
        try:
            for block in scan(log, at, stop):
                yield at, block
                at += len(block)
            at, stop = stop, end
        except DamagedError as error:
            if error.first is not None and at < error.first:
                stop = error.first  # what lies before it can be read
            else:
                at, stop = max(at + 1, error.last or end), end
        except IndexError:
            log.refresh()
            at, stop = max(at + 1, log.first), end
