from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spill_ring.array_ring import ArrayRing
from spill_ring.sinks.npy import NpySink

BLOCK: int

class Source(NamedTuple):
    name: str
    fd: int
    dtype: np.dtype[Any]
    nbytes: int | None

def open_source(name: str, dtype: str | None) -> Source: ...
def caught(*signals: int) -> AbstractContextManager[int]: ...
def progress_bar(title: str, total: int | None) -> AbstractContextManager[Callable[[int], object]]: ...
def pump(
    source: Source, ring: ArrayRing, sink: NpySink, stop: int, advance: Callable[[int], object]
) -> tuple[int, int]: ...
def record(name: str, capacity: int, warm: int, to: Path, dtype: str | None, force: bool) -> int: ...
def main() -> None: ...
