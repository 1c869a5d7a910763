from collections.abc import AsyncIterator, Coroutine, Iterator
from types import GenericAlias, TracebackType
from typing import Any, Generic, Self, SupportsIndex, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray
from typing_extensions import Buffer, TypeVar, disjoint_base

from spill_ring.rings.base import Stats
from spill_ring._core.sink import _SinkLike
from spill_ring.threads.spsc import SpscRing

_D = TypeVar("_D")
_S = TypeVar("_S", bound=np.generic)
_T = TypeVar("_T", default=Any)  # an item
_B = TypeVar("_B", default=Any)  # several: a list of a ring of objects, an ndarray of a typed ring

@disjoint_base
class MpscRing(Generic[_T, _B]):
    @overload
    def __init__(
        self,
        capacity: SupportsIndex,
        dtype: None = None,
        sink: None = None,
        *,
        producers: SupportsIndex,
    ) -> None: ...
    @overload
    def __init__(
        self: MpscRing[_T, list[_T]],
        capacity: SupportsIndex,
        dtype: None = None,
        sink: _SinkLike[_T] | None = None,
        *,
        producers: SupportsIndex,
    ) -> None: ...
    @overload  # its items may be arrays
    def __init__(
        self: MpscRing[Any, NDArray[Any]],
        capacity: SupportsIndex,
        dtype: np.dtype[np.void],
        sink: _SinkLike[NDArray[Any]] | None = None,
        *,
        producers: SupportsIndex,
    ) -> None: ...
    @overload
    def __init__(
        self: MpscRing[_S, NDArray[_S]],
        capacity: SupportsIndex,
        dtype: type[_S] | np.dtype[_S],
        sink: _SinkLike[NDArray[_S]] | None = None,
        *,
        producers: SupportsIndex,
    ) -> None: ...
    @overload
    def __init__(
        self: MpscRing[Any, NDArray[Any]],
        capacity: SupportsIndex,
        dtype: DTypeLike,
        sink: _SinkLike[NDArray[Any]] | None = None,
        *,
        producers: SupportsIndex,
    ) -> None: ...
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    # the consumer's
    @overload
    def pop(self, *, timeout: float | None = 0) -> _T: ...
    @overload
    def pop(self, default: _D, *, timeout: float | None = 0) -> _T | _D: ...
    def pop_many(self, n: SupportsIndex | None = None, *, timeout: float | None = 0) -> _B: ...
    def pop_into(self, out: NDArray[Any] | Buffer, /, *, timeout: float | None = 0) -> int: ...
    def drain(self, sink: _SinkLike[_B], /, *, timeout: float | None = 0) -> int: ...
    def clear(self) -> None: ...
    def wait(self, n: SupportsIndex = 1, /, timeout: float | None = None) -> bool: ...
    def blocks(self, n: SupportsIndex | None = None, /) -> Iterator[_B]: ...
    def wait_async(self, n: SupportsIndex = 1, /) -> Coroutine[Any, Any, bool]: ...
    def ablocks(self, n: SupportsIndex | None = None, /) -> AsyncIterator[_B]: ...
    # when the producers are done
    def flush(self) -> int: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    # any thread's
    @property
    def producers(self) -> tuple[SpscRing[_T, _B], ...]: ...
    @property
    def capacity(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any] | None: ...
    @property
    def sink(self) -> Any: ...  # as it was given
    @property
    def closed(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    @property
    def stats(self) -> Stats: ...
    @property
    def is_empty(self) -> bool: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def _begin_wait(self, n: int, /) -> int: ...
    def _request_wake(self, n: int, /) -> bool: ...
    def _end_wait(self, n: int, /) -> bool: ...
