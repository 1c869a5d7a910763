"""Records in a ring, and single values as bytes."""
import struct
from dataclasses import dataclass

import msgspec
import numpy as np

from spill_ring import ArrayRing, ByteSerializer, record

from .side_by_side import side_by_side


@record
@dataclass
class Tick:
    time: int
    price: float
    is_trade: bool


@dataclass
class Order:
    id: int
    symbol: str
    price: float | None
    tags: list[str]


VALUES = {
    "int": (5, int),
    "str": ("temperature", str),
    "record": (Tick(1, 2.5, True), Tick),
    "dataclass": (Order(7, "ABC", 2.5, ["new", "limit"]), Order),
    "list": (np.arange(1000.0).tolist(), list[float]),
}


class Bytes:
    params = tuple(VALUES)
    param_names = ("value",)

    def setup(self, name):
        self.value, self.type = VALUES[name]
        self.serializer = ByteSerializer()
        self.data = self.serializer.serialize(self.value, self.type)
        self.buffer = bytearray(len(self.data))

    def time_serialize(self, name):
        self.serializer.serialize(self.value, self.type)

    def time_to_bytes(self, name):
        self.serializer.to_bytes(self.value, self.buffer, self.type)

    def time_deserialize(self, name):
        self.serializer.deserialize(self.data, self.type)


class Records:
    def setup(self):
        self.ring = ArrayRing(1024, Tick)
        self.items = [Tick(n, n / 2, True) for n in range(1000)]

    def time_push_1000(self):
        push = self.ring.push
        for item in self.items:
            push(item)

    def time_extend_1000(self):
        self.ring.extend(self.items)

    def time_pop_1000(self):
        self.ring.extend(self.items)
        pop = self.ring.pop
        for _ in range(1000):
            pop()


class Ratios:
    unit = "ratio"

    def track_record_write_over_msgspec(self):
        """`serialize` of a record over msgspec's MessagePack of the same dataclass."""
        ours, theirs = side_by_side(
            "serialize(value)", "encode(value)", value=Tick(1, 2.5, True), serialize=ByteSerializer().serialize,
            encode=msgspec.msgpack.Encoder().encode,
        )
        return ours / theirs

    def track_record_read_over_msgspec(self):
        """`deserialize` of a record over msgspec's MessagePack of the same dataclass; target ≤ 1."""
        value = Tick(1, 2.5, True)
        ours, theirs = side_by_side(
            "deserialize(data, Tick)", "decode(packed)", Tick=Tick, data=ByteSerializer().serialize(value),
            deserialize=ByteSerializer().deserialize, packed=msgspec.msgpack.encode(value),
            decode=msgspec.msgpack.Decoder(Tick).decode,
        )
        return ours / theirs

    def track_record_read_over_struct(self):
        """`deserialize` of a record over `struct` and a call of its class; target ≤ 1."""
        value = Tick(1, 2.5, True)
        ours, theirs = side_by_side(
            "deserialize(data, Tick)", "Tick(*unpack(data))", Tick=Tick, data=ByteSerializer().serialize(value),
            deserialize=ByteSerializer().deserialize, unpack=struct.Struct("<qd?").unpack,
        )
        return ours / theirs
