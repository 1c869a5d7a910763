from typing import Any

from typing_extensions import disjoint_base

from spill_ring._core.sink import Sink, _SinkLike

@disjoint_base
class TeeSink(Sink):
    def __init__(self, *sinks: _SinkLike[Any]) -> None: ...
    @property
    def sinks(self) -> tuple[Any, ...]: ...  # as they were given
    def flush(self) -> None: ...
