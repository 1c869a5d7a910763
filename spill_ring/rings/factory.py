"""`SpillRing`: one name for both kinds of ring."""
from abc import ABCMeta
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from spill_ring.rings.array import ArrayRing
from spill_ring.rings.object import ObjectRing

if TYPE_CHECKING:
    from spill_ring._core.sink import _SinkLike

    # To a type checker the rings derive from SpillRing, and it has what they share. At run time they are registered.
    from spill_ring.rings.base import _AnyRing as _Base
else:
    _Base = object

_S = TypeVar("_S", bound=np.generic)


class SpillRing(_Base, metaclass=ABCMeta):
    """A bounded ring that keeps the newest items and sends the oldest to a sink.

    Parameters
    ----------
    capacity : int
        Items it holds, at least 1.
    dtype : dtype, optional
        Without one the ring holds any Python objects; with one, numpy items.
    sink : sink, optional
        Gets what is evicted, oldest first. Without one it is dropped.

    Returns
    -------
    ObjectRing or ArrayRing
        As ``pathlib.Path`` returns a ``PosixPath``: both are instances of `SpillRing`. Errors,
        complexity and thread safety are theirs.

    Examples
    --------
    >>> ring = SpillRing(4)
    >>> for n in range(1, 6):
    ...     ring.push(n)
    >>> ring
    ObjectRing([2, 3, 4, 5], capacity=4)
    >>> SpillRing(4, "i8")
    ArrayRing([], capacity=4, dtype=int64)
    """

    @overload
    def __new__(
        cls, capacity: SupportsIndex, dtype: None = None, sink: "_SinkLike[Any] | None" = None
    ) -> ObjectRing[Any]: ...

    @overload  # its items may be arrays
    def __new__(
        cls, capacity: SupportsIndex, dtype: np.dtype[np.void], sink: "_SinkLike[NDArray[Any]] | None" = None
    ) -> ArrayRing[Any]: ...

    @overload
    def __new__(
        cls, capacity: SupportsIndex, dtype: type[_S] | np.dtype[_S], sink: "_SinkLike[NDArray[_S]] | None" = None
    ) -> ArrayRing[_S]: ...

    @overload
    def __new__(
        cls, capacity: SupportsIndex, dtype: DTypeLike, sink: "_SinkLike[NDArray[Any]] | None" = None
    ) -> ArrayRing[Any]: ...

    def __new__(
        cls, capacity: SupportsIndex, dtype: DTypeLike | None = None, sink: "_SinkLike[Any] | None" = None
    ) -> "SpillRing":
        if cls is not SpillRing:
            raise TypeError(f"{cls.__name__} must derive from ObjectRing or ArrayRing, not from SpillRing")
        if dtype is None:
            return ObjectRing(capacity, sink)
        return ArrayRing(capacity, dtype, sink)


SpillRing.register(ObjectRing)
SpillRing.register(ArrayRing)
