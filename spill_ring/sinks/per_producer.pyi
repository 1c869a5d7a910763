from collections.abc import Callable
from typing import Any, SupportsIndex

from typing_extensions import disjoint_base

from spill_ring._core.sink import Sink, _SinkLike

@disjoint_base
class ProducerSink(Sink):
    def __init__(self, factory: Callable[[int], _SinkLike[Any]]) -> None: ...
    @property
    def factory(self) -> Callable[[int], Any]: ...
    def producer(self, index: SupportsIndex, /) -> Any: ...  # as the factory made it
    def flush(self) -> None: ...
