from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

from spill_ring._core.sink import Sink

@disjoint_base
class FnSink(Sink):
    def __init__(self, fn: Callable[[Any], object], flush: Callable[[], object] | None = None) -> None: ...
    @property
    def fn(self) -> Callable[[Any], object]: ...
    def flush(self) -> None: ...
