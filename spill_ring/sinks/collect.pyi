from types import GenericAlias
from typing import Any, Generic

from typing_extensions import TypeVar, disjoint_base

from spill_ring._core.lending import LendingSink

_B = TypeVar("_B", default=Any)  # a list from an object ring, one ndarray from a typed ring

@disjoint_base
class CollectSink(LendingSink, Generic[_B]):
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    @property
    def items(self) -> _B: ...
    def take(self) -> _B: ...
    def __len__(self) -> int: ...
