from typing import TypeVar

_T = TypeVar("_T")

def record(cls: type[_T], /) -> type[_T]: ...
