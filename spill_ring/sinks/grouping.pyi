from typing_extensions import disjoint_base

from spill_ring.sinks.forwarding import ForwardingSink

@disjoint_base
class GroupingSink(ForwardingSink):
    @property
    def n(self) -> int: ...
    def __len__(self) -> int: ...
