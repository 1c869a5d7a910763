from collections.abc import Callable
from typing import Any, Never, Protocol, Self, TypeAlias, TypeVar, type_check_only

import numpy as np
from typing_extensions import disjoint_base

_T = TypeVar("_T")
_T_contra = TypeVar("_T_contra", contravariant=True)

# `flush` and `close` are called too, where the object has them.
@type_check_only
class _SupportsSend(Protocol[_T_contra]):
    def send(self, items: _T_contra, /) -> object: ...

# What is taken where a `sink=` is expected. Every Sink, and so every ring, has a `send`.
_SinkLike: TypeAlias = _SupportsSend[_T] | Callable[[_T], object]

@disjoint_base
class Sink:
    def send(self, items: Any, /) -> int | None: ...
    def attached(self, dtype: np.dtype[Any] | None, /) -> None: ...
    def flush(self) -> object: ...  # a ring's returns a count
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...
    def __reduce__(self) -> Never: ...

class DropSink(Sink): ...
