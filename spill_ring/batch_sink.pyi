from typing import Any, SupportsIndex

from spill_ring.grouping_sink import GroupingSink
from spill_ring.sink import _SinkLike

class BatchSink(GroupingSink):
    def __init__(self, n: SupportsIndex, sink: _SinkLike[Any]) -> None: ...
