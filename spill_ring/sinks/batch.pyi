from typing import Any, SupportsIndex

from spill_ring.sinks.grouping import GroupingSink
from spill_ring._core.sink import _SinkLike

class BatchSink(GroupingSink):
    def __init__(self, n: SupportsIndex, sink: _SinkLike[Any]) -> None: ...
