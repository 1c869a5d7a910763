from collections.abc import Callable
from typing import Any, Protocol, SupportsIndex, TypeAlias, TypeVar, type_check_only

import numpy as np
from typing_extensions import disjoint_base

from spill_ring._core.guard import Guarded

_T = TypeVar("_T")
_T_contra = TypeVar("_T_contra", contravariant=True)

# `flush` and `close` are called too, where the object has them.
@type_check_only
class _SupportsSend(Protocol[_T_contra]):
    def send(self, items: _T_contra, /) -> object: ...

# What is taken where a `sink=` is expected. Every Sink, and so every ring, has a `send`.
_SinkLike: TypeAlias = _SupportsSend[_T] | Callable[[_T], object]

@disjoint_base
class Sink(Guarded):
    def send(self, items: Any, /) -> int | None: ...
    def attached(self, dtype: np.dtype[Any] | None, /) -> None: ...
    def pending(self) -> Any: ...
    def skip(self, n: SupportsIndex = 1, /) -> Any: ...
    def flush(self) -> object: ...  # a ring's returns a count
    def close(self) -> None: ...

class DropSink(Sink): ...
