from typing_extensions import disjoint_base

from spill_ring.forwarding_sink import ForwardingSink

@disjoint_base
class GroupingSink(ForwardingSink):
    @property
    def n(self) -> int: ...
    def __len__(self) -> int: ...
