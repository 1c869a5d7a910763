from collections.abc import Iterable
from typing import Any, Generic, Never, SupportsIndex, overload

from numpy.typing import NDArray
from typing_extensions import TypeVar, disjoint_base

from spill_ring._core.sink import Sink
from spill_ring.rings.array import _Item, _SupportsArray
from spill_ring.rings.loan import Loan

_T = TypeVar("_T", default=Any)  # an item
_B = TypeVar("_B", default=Any)  # several: a list of a ring of objects, an ndarray of a typed ring

@disjoint_base
class ProducerSide(Sink, Generic[_T, _B]):
    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    @overload
    def push(self: ProducerSide[Any, NDArray[Any]], item: _Item, /, *, timeout: float | None = None) -> None: ...
    @overload
    def push(self, item: _T, /, *, timeout: float | None = None) -> None: ...
    @overload
    def extend(
        self: ProducerSide[Any, NDArray[Any]],
        items: Iterable[Any] | _SupportsArray,
        /,
        *,
        timeout: float | None = None,
    ) -> None: ...
    @overload
    def extend(self, items: Iterable[_T], /, *, timeout: float | None = None) -> None: ...
    @overload
    def try_push(self: ProducerSide[Any, NDArray[Any]], item: _Item, /) -> bool: ...
    @overload
    def try_push(self, item: _T, /) -> bool: ...
    @overload
    def try_extend(self: ProducerSide[Any, NDArray[Any]], items: Iterable[Any] | _SupportsArray, /) -> int: ...
    @overload
    def try_extend(self, items: Iterable[_T], /) -> int: ...
    def reserve(self, n: SupportsIndex, /) -> Loan[_B]: ...
    def commit(self, n: SupportsIndex, /) -> None: ...
