from typing import Any

from typing_extensions import disjoint_base

from spill_ring._core.lending import LendingSink

@disjoint_base
class CollectSink(LendingSink):
    # a list from an object ring, one ndarray from a typed ring
    @property
    def items(self) -> Any: ...
    def take(self) -> Any: ...
    def __len__(self) -> int: ...
