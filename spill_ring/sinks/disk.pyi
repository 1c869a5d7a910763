import os
from typing import Literal

from typing_extensions import disjoint_base

from spill_ring.serialization.encoders import _AnyEncoder, Encoder
from spill_ring._core.sink import Sink

@disjoint_base
class DiskSink(Sink):
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        segment_bytes: int = 268435456,
        keep_bytes: int | None = None,
        sync: Literal["interval", "always", "never"] = "interval",
        interval: float = 1.0,
        encoder: _AnyEncoder | None = None,
    ) -> None: ...
    @property
    def path(self) -> str: ...
    @property
    def segment_bytes(self) -> int: ...
    @property
    def keep_bytes(self) -> int | None: ...
    @property
    def sync(self) -> str: ...
    @property
    def interval(self) -> float: ...
    @property
    def encoder(self) -> Encoder: ...
    @property
    def count(self) -> int: ...
    @property
    def removed(self) -> int: ...
