"""`SpillRing`: one name for both kinds of ring."""
from abc import ABC

from spill_ring.rings.array import ArrayRing
from spill_ring.rings.object import ObjectRing


class SpillRing(ABC):
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

    def __new__(cls, capacity, dtype=None, sink=None):
        if cls is not SpillRing:
            raise TypeError(f"{cls.__name__} must derive from ObjectRing or ArrayRing, not from SpillRing")
        if dtype is None:
            return ObjectRing(capacity, sink)
        return ArrayRing(capacity, dtype, sink)


SpillRing.register(ObjectRing)
SpillRing.register(ArrayRing)
