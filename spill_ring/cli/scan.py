"""Reading a recording once, from one end to the other, in memory that doesn't grow with it."""
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from spill_ring.recording.files import DamagedError
from spill_ring.recording.log import SpillLog

BLOCK = 1 << 22  # bytes in a block, at most
PART = 1 << 28  # bytes read through one SpillLog: it keeps mapped what it has read


def scan(log: SpillLog, start: int, stop: int) -> Iterator[NDArray[Any]]:
    """Read items in blocks.

    Parameters
    ----------
    log : SpillLog
        A recording of numbers, not of objects.
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
        An item was removed.
    """
    assert log.dtype is not None
    block, part = (max(nbytes // log.dtype.itemsize, 1) for nbytes in (BLOCK, PART))
    for at in range(start, stop, part):
        yield from SpillLog(log.path).blocks(block, start=at, stop=min(at + part, stop))


def scan_readable(log: SpillLog) -> Iterator[tuple[int, NDArray[Any]]]:
    """Read all items that can be read, in blocks, each with the sequence number of its first item."""
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
                stop = error.first  # the items before the damage can be read
            else:
                at, stop = max(at + 1, error.last or end), end
        except IndexError:
            log.refresh()
            at, stop = max(at + 1, log.first), end
