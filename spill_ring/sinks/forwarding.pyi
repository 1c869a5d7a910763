from typing import Any, Never

from typing_extensions import disjoint_base

from spill_ring._core.sink import Sink

@disjoint_base
class ForwardingSink(Sink):
    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    @property
    def sink(self) -> Any: ...  # as it was given
    def flush(self) -> None: ...
    def __del__(self) -> None: ...
