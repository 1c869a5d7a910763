from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from spill_ring.recording.log import SpillLog

BLOCK: int
PART: int

def scan(log: SpillLog, start: int, stop: int) -> Iterator[NDArray[Any]]: ...
def scan_sound(log: SpillLog) -> Iterator[tuple[int, NDArray[Any]]]: ...
