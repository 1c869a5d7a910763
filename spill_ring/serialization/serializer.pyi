from typing import Any, Never, Protocol, Self, TypeVar, overload

import numpy as np
from typing_extensions import Buffer, disjoint_base

_T = TypeVar("_T")

class SerializationError(ValueError): ...

class BufferTooSmall(SerializationError):
    needed: int
    available: int
    def __init__(self, needed: int, available: int) -> None: ...

class UnexpectedEnd(SerializationError):
    needed: int
    available: int
    def __init__(self, needed: int, available: int) -> None: ...

class InvalidData(SerializationError): ...

class ToBytes(Protocol):
    def to_bytes(self) -> bytes: ...

class FromBytes(Protocol):
    @classmethod
    def from_bytes(cls, data: bytes, /) -> Self: ...

class ByteSerializer:
    def serialize(self, value: Any, type: Any = ...) -> bytes: ...
    def to_bytes(self, value: Any, buffer: Buffer, type: Any = ...) -> int: ...
    # what is no class, such as `int | None`, tells a type checker nothing
    @overload
    def deserialize(self, data: Buffer, type: type[_T]) -> _T: ...
    @overload
    def deserialize(self, data: Buffer, type: None) -> None: ...
    @overload
    def deserialize(self, data: Buffer, type: Any) -> Any: ...
