from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spill_ring.recording.log import SpillLog

PANELS: int
LINES: int
ROWS: int
COLOURS: tuple[str, ...]
UNITS: dict[str, str]
LIMIT: float

class Envelope(NamedTuple):
    at: NDArray[Any]
    panels: dict[str, dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]]
    @property
    def is_empty(self) -> bool: ...

def panels_of(dtype: np.dtype[Any]) -> dict[str, list[str]]: ...
def envelope(log: SpillLog, width: int, advance: Callable[[int], object]) -> Envelope: ...
def lines_through(
    at: NDArray[Any], low: NDArray[np.float64], high: NDArray[np.float64]
) -> list[tuple[NDArray[Any], NDArray[np.float64]]]: ...
def clock(at: NDArray[np.datetime64]) -> list[str]: ...
def to_terminal(found: Envelope, width: int) -> str: ...
def to_png(found: Envelope, title: str, path: Path) -> None: ...
