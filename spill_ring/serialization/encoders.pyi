from types import GenericAlias, UnionType
from typing import Any, Protocol, TypeAlias

class Encoder(Protocol):
    name: str
    def encode(self, value: Any, /) -> bytes: ...
    def decode(self, data: bytes, /) -> Any: ...

class Plain:
    name: str
    def encode(self, value: str | bytes | bytearray | memoryview) -> bytes: ...
    def decode(self, data: bytes) -> str | bytes: ...

class Pickle:
    name: str
    def encode(self, value: Any) -> bytes: ...
    def decode(self, data: bytes) -> Any: ...

class MessagePack:
    name: str
    encode: Any
    decode: Any
    def __init__(self) -> None: ...

class Serialized:
    name: str
    type: Any
    def __init__(self, type: Any) -> None: ...
    def encode(self, value: Any) -> bytes: ...
    def decode(self, data: bytes) -> Any: ...

HARMLESS: tuple[str, ...]
ENCODERS: dict[str, Any]

# by name; what encodes; or a type, for ByteSerializer
_AnyEncoder: TypeAlias = str | Encoder | type[Any] | GenericAlias | UnionType

def encoder_of(given: _AnyEncoder | None) -> Encoder: ...
