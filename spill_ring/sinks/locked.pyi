from typing import Any

from typing_extensions import disjoint_base

from spill_ring.sinks.forwarding import ForwardingSink
from spill_ring._core.sink import _SinkLike

@disjoint_base
class LockedSink(ForwardingSink):
    def __init__(self, sink: _SinkLike[Any]) -> None: ...
