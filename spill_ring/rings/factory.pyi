from abc import ABCMeta
from typing import Any, SupportsIndex, overload

from numpy.typing import DTypeLike

from spill_ring.rings.array import ArrayRing
from spill_ring.rings.object import ObjectRing
from spill_ring.rings.base import _AnyRing
from spill_ring._core.sink import _SinkLike

# The rings are registered with it at run time, and derive from it here: to a type checker that is
# the same, and what all rings have is there after `isinstance(ring, SpillRing)`.
class SpillRing(_AnyRing, metaclass=ABCMeta):
    @overload
    def __new__(
        cls, capacity: SupportsIndex, dtype: None = None, sink: _SinkLike[Any] | None = None
    ) -> ObjectRing[Any]: ...
    @overload
    def __new__(cls, capacity: SupportsIndex, dtype: DTypeLike, sink: _SinkLike[Any] | None = None) -> ArrayRing: ...
