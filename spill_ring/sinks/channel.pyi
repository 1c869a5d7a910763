from typing import Any, Protocol, type_check_only

from typing_extensions import disjoint_base

from spill_ring.sinks.function import FnSink

@type_check_only
class _SupportsPut(Protocol):
    def put(self, item: Any, /) -> object: ...

@disjoint_base
class ChannelSink(FnSink):
    def __init__(self, queue: _SupportsPut) -> None: ...
    @property
    def queue(self) -> Any: ...
