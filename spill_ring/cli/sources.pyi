from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

RATE: float
SYSTEM: np.dtype[np.void]

class Source(NamedTuple):
    name: str
    fd: int
    dtype: np.dtype[Any]
    nbytes: int | None
    stored: np.dtype[Any] | None = None
    decode: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    @property
    def itemsize(self) -> int: ...

def open_source(
    name: str, dtype: str | None = None, rate: float | None = None
) -> AbstractContextManager[Source]: ...
def widened(samples: NDArray[np.uint8]) -> NDArray[np.int32]: ...
def sample() -> NDArray[np.void]: ...
