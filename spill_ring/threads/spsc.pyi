from types import GenericAlias
from typing import Any, Literal, SupportsIndex, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray
from typing_extensions import TypeVar, disjoint_base

from spill_ring.interop.c_interface import Interface
from spill_ring.rings.loan import Loan
from spill_ring.rings.base import Stats
from spill_ring._core.sink import _SinkLike
from spill_ring.threads.consumer_methods import ConsumerMethods
from spill_ring.threads.producer import ProducerSide

_S = TypeVar("_S", bound=np.generic)
_T = TypeVar("_T", default=Any)  # an item
_B = TypeVar("_B", default=Any)  # several: a list of a ring of objects, an ndarray of a typed ring

@disjoint_base
class SpscRing(ProducerSide[_T, _B], ConsumerMethods[_T, _B]):
    @overload
    def __init__(
        self,
        capacity: SupportsIndex,
        dtype: None = None,
        sink: None = None,
        *,
        overflow: Literal["spill", "reject", "block"] = "spill",
        evict_block: SupportsIndex = 1,
    ) -> None: ...
    @overload
    def __init__(
        self: SpscRing[_T, list[_T]],
        capacity: SupportsIndex,
        dtype: None = None,
        sink: _SinkLike[_T] | None = None,
        *,
        overflow: Literal["spill", "reject", "block"] = "spill",
        evict_block: SupportsIndex = 1,
    ) -> None: ...
    @overload  # its items may be arrays
    def __init__(
        self: SpscRing[Any, NDArray[Any]],
        capacity: SupportsIndex,
        dtype: np.dtype[np.void],
        sink: _SinkLike[NDArray[Any]] | None = None,
        *,
        overflow: Literal["spill", "reject", "block"] = "spill",
        evict_block: SupportsIndex = 1,
    ) -> None: ...
    @overload
    def __init__(
        self: SpscRing[_S, NDArray[_S]],
        capacity: SupportsIndex,
        dtype: type[_S] | np.dtype[_S],
        sink: _SinkLike[NDArray[_S]] | None = None,
        *,
        overflow: Literal["spill", "reject", "block"] = "spill",
        evict_block: SupportsIndex = 1,
    ) -> None: ...
    @overload
    def __init__(
        self: SpscRing[Any, NDArray[Any]],
        capacity: SupportsIndex,
        dtype: DTypeLike,
        sink: _SinkLike[NDArray[Any]] | None = None,
        *,
        overflow: Literal["spill", "reject", "block"] = "spill",
        evict_block: SupportsIndex = 1,
    ) -> None: ...
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    def flush(self) -> int: ...
    def abandon(self) -> None: ...
    def read(self, n: SupportsIndex | None = None, *, timeout: float | None = 0) -> Loan[_B]: ...
    @property
    def capacity(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any] | None: ...
    @property
    def sink(self) -> Any: ...  # as it was given
    @property
    def overflow(self) -> Literal["spill", "reject", "block"]: ...
    @property
    def evict_block(self) -> int: ...
    @property
    def ended(self) -> bool: ...
    @property
    def stats(self) -> Stats: ...
    @property
    def is_empty(self) -> bool: ...
    @property
    def is_full(self) -> bool: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __del__(self) -> None: ...
    @property
    def capsule(self) -> Any: ...  # a PyCapsule
    @property
    def ctypes(self) -> Interface: ...
    @property
    def cffi(self) -> Any: ...  # a pointer of cffi's
