from types import GenericAlias, TracebackType
from typing import Any, Generic, Never, TypeVar

from typing_extensions import disjoint_base

_Block_co = TypeVar("_Block_co", covariant=True)

@disjoint_base
class Loan(Generic[_Block_co]):
    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    def __enter__(self) -> _Block_co: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
