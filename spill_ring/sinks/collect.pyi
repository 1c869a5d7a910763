from typing import Any

from typing_extensions import disjoint_base

from spill_ring._core.sink import Sink

@disjoint_base
class CollectSink(Sink):
    # a list from an object ring, one ndarray from a typed ring
    @property
    def items(self) -> Any: ...
    def take(self) -> Any: ...
    def __len__(self) -> int: ...
