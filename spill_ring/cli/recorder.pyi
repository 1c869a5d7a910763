from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from spill_ring.rings.array import ArrayRing
from spill_ring.sinks.disk import DiskSink
from spill_ring.sinks.npy import NpySink
from spill_ring.cli.sources import Source

BLOCK: int
INTERVAL: float
SEGMENT_BYTES: int
SEGMENTS_KEPT: int
SMALLEST_SEGMENT: int
ELSE: tuple[str, ...]

def caught(*signals: int) -> AbstractContextManager[int]: ...
def pump(
    source: Source,
    ring: ArrayRing,
    hand_over: Callable[[], object],
    stop: int,
    advance: Callable[[int], object],
    seconds: float | None = None,
) -> tuple[int, int]: ...
def open_npy(to: Path, force: bool, source: Source) -> BinaryIO: ...
def open_folder(to: Path, force: bool, keep_bytes: int | None, itemsize: int) -> DiskSink: ...
def held(to: Path, sink: NpySink | DiskSink) -> str: ...
def record(
    name: str,
    to: Path,
    *,
    capacity: int,
    warm: int,
    dtype: str | None,
    rate: float | None,
    seconds: float | None,
    keep_bytes: int | None,
    force: bool,
) -> int: ...
