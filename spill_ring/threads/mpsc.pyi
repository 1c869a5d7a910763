from types import GenericAlias
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray
from typing_extensions import TypeVar, disjoint_base

from spill_ring._core.guard import Guarded
from spill_ring._core.sink import _SinkLike
from spill_ring.rings.base import Stats
from spill_ring.threads.consumer_methods import ConsumerMethods
from spill_ring.threads.spsc import SpscRing

_S = TypeVar("_S", bound=np.generic)
_T = TypeVar("_T", default=Any)  # an item
_B = TypeVar("_B", default=Any)  # several: a list of a ring of objects, an ndarray of a typed ring

@disjoint_base
class MpscRing(Guarded, ConsumerMethods[_T, _B]):
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
    # when the producers are done
    def flush(self) -> int: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...
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
