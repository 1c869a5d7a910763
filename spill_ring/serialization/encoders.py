"""Encoders: how an object becomes bytes in a recording, and an object again."""
import pickle
from contextlib import suppress
from types import GenericAlias, UnionType
from typing import Any, Protocol, TypeAlias, cast, get_origin

from spill_ring.serialization.errors import SerializationError
from spill_ring.serialization.serializer import ByteSerializer


class Encoder(Protocol):
    """Turns objects into bytes and back.

    An error of `encode` reaches the caller that pushed, and the object stays in the ring. An error of `decode` reaches
    the reader. Each is called by one thread at a time: `encode` by the thread that sends, `decode` by one that reads.
    """

    name: str  # kept in the recording, which only an encoder of this name can read

    def encode(self, value: Any, /) -> bytes: ...

    def decode(self, data: bytes, /) -> Any: ...


class Plain:
    """bytes and str as they are, with a byte in front that says which of the two."""

    name = "plain"

    def encode(self, value: Any) -> bytes:
        if isinstance(value, str):
            return b"s" + value.encode("utf-8", "surrogatepass")
        if isinstance(value, bytes | bytearray | memoryview):
            return b"b" + bytes(value)
        raise TypeError(
            f"{value!r} is neither bytes nor str; a DiskSink encodes other objects by encoder='msgpack', "
            "by encoder='pickle', or by an encoder of your own"
        )

    def decode(self, data: bytes) -> Any:
        return data[1:].decode("utf-8", "surrogatepass") if data[:1] == b"s" else data[1:]


class Pickle:
    """Whatever can be pickled. Reading runs what the writer of the recording chose."""

    name = "pickle"

    def encode(self, value: Any) -> bytes:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def decode(self, data: bytes) -> Any:
        return pickle.loads(data)


class MessagePack:
    """What `msgspec` encodes as MessagePack: None, numbers, str, bytes, lists, dicts, dataclasses as dicts."""

    name = "msgpack"

    def __init__(self) -> None:
        try:
            from msgspec import msgpack
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "encoder='msgpack' needs msgspec: pip install 'spill_ring[msgpack]'", name="msgspec"
            ) from None
        self.encode = msgpack.Encoder().encode
        self.decode = msgpack.Decoder().decode


class Serialized:
    """Objects of one type, by `ByteSerializer`: their bytes alone. A reader has to give the same type."""

    name = "ByteSerializer"

    def __init__(self, type: Any) -> None:
        self.type = type
        self._serializer = ByteSerializer()
        with suppress(SerializationError):  # It raises TypeError if there is no form for such a type.
            self._serializer.deserialize(b"", type)

    def encode(self, value: Any) -> bytes:
        return self._serializer.serialize(value, self.type)

    def decode(self, data: bytes) -> Any:
        return self._serializer.deserialize(data, self.type)


# Decoding by these runs nothing that the writer of a recording chose, so a reader need not name them.
HARMLESS = (Plain.name, MessagePack.name)
ENCODERS = {encoder.name: encoder for encoder in (Plain, Pickle, MessagePack)}


# A name, an encoder, or a type for ByteSerializer.
_AnyEncoder: TypeAlias = str | Encoder | type[Any] | GenericAlias | UnionType


def encoder_of(given: _AnyEncoder | None) -> Encoder:
    """An encoder by its name, by the type of its objects, or as it was given; None: the plain one."""
    if given is None:
        return Plain()
    if isinstance(given, str):
        if given not in ENCODERS:
            names = ", ".join(map(repr, ENCODERS))
            raise ValueError(f"encoder must be one of {names}, a type for ByteSerializer or an encoder, not {given!r}")
        return ENCODERS[given]()
    encodes = hasattr(given, "encode") and hasattr(given, "decode")
    if get_origin(given) is not None or (isinstance(given, type) and not encodes):
        return Serialized(given)
    if isinstance(given, type):
        raise TypeError(f"encoder is the class {given.__name__}; pass an instance of it")
    if not encodes:
        raise TypeError(f"{given!r} is no encoder: it needs a name, encode(object) and decode(bytes)")
    if not isinstance(getattr(given, "name", None), str):
        raise TypeError(f"{given!r} needs a name, a str that is kept in the recording")
    return cast(Encoder, given)
