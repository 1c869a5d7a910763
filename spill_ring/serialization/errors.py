"""What goes wrong with bytes, and what a class may define to have a form in bytes."""
from typing import Protocol, Self


class SerializationError(ValueError):
    """What goes wrong with bytes: `BufferTooSmall`, `UnexpectedEnd` or `InvalidData`."""


class BufferTooSmall(SerializationError):
    """The value needs `needed` bytes, and the caller's buffer has `available`."""

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(needed, available)
        self.needed = needed
        self.available = available

    def __str__(self) -> str:
        return f"the value takes {self.needed} bytes, and the buffer has {self.available}"


class UnexpectedEnd(SerializationError):
    """The data ends where at least `needed` more bytes must come, and `available` do."""

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(needed, available)
        self.needed = needed
        self.available = available

    def __str__(self) -> str:
        return f"the data ends too early: {self.needed} bytes must come, and {self.available} do"


class InvalidData(SerializationError):
    """`ByteSerializer` writes no such data for a value of this type."""


class ToBytes(Protocol):
    """A class that writes its own values: it has ``to_bytes(self) -> bytes``.

    `ByteSerializer` puts a length in front, as with `bytes`, so that `FromBytes.from_bytes` gets
    exactly what `to_bytes` returned, wherever the value stands. (``int.to_bytes`` means another thing, and
    never counts as this method.)
    """

    def to_bytes(self) -> bytes:
        """The bytes of this value, which ``from_bytes`` of its class reads."""
        ...


class FromBytes(Protocol):
    """A class that reads its own values: it has a classmethod ``from_bytes(cls, data) -> Self``."""

    @classmethod
    def from_bytes(cls, data: bytes, /) -> Self:
        """The value whose bytes are `data`, all of it; otherwise raises `InvalidData`, or an error of its own."""
        ...
