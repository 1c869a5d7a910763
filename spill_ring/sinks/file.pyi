from typing import Any, Protocol, type_check_only

import numpy as np
from numpy.typing import NDArray

from spill_ring._core.sink import Sink

@type_check_only
class _BinaryFile(Protocol):
    def write(self, data: bytes | memoryview, /) -> int | None: ...

class FileSink(Sink):
    file: Any  # as it was given
    def __init__(self, file: _BinaryFile) -> None: ...
    def attached(self, dtype: np.dtype[Any] | None) -> None: ...
    def send(self, items: NDArray[Any]) -> None: ...
    def flush(self) -> None: ...
