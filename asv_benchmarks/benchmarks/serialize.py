"""Records in a ring, and single values as bytes."""
import pickle
import struct
from dataclasses import dataclass
from typing import Annotated

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


@record
@dataclass
class Deal:
    time: int
    price: float
    size: Annotated[int, "u4"]
    is_buy: bool


@record
@dataclass(slots=True)
class SlotDeal:
    time: int
    price: float
    size: Annotated[int, "u4"]
    is_buy: bool


DEAL = (1_790_000_000_000, 101.25, 300, True)
# value, type, and what struct calls it where it can
SINGLE = {
    "int": (1_790_000_000, int, "<q"),
    "float": (101.25, float, "<d"),
    "str of 11": ("temperature", str, None),
    "bytes of 1,000": (bytes(1000), bytes, None),
    "tuple of int, float, bool": ((1_790_000_000, 101.25, True), tuple[int, float, bool], "<qd?"),
    "record of four numbers": (Deal(*DEAL), Deal, "<qdI?"),
    "the same with slots": (SlotDeal(*DEAL), SlotDeal, "<qdI?"),
    "dataclass with text, optional, list": (Order(7, "ABC", 2.5, ["new", "limit"]), Order, None),
    "list of 1,000 float": (np.arange(1000.0).tolist(), list[float], None),
}


def of_ours(value, kind, format):
    serializer = ByteSerializer()
    return (
        "serialize(value, kind)", "deserialize(data, kind)", serializer.serialize(value, kind),
        {"serialize": serializer.serialize, "deserialize": serializer.deserialize, "kind": kind},
    )


def of_msgspec(value, kind, format):
    """An encoder and a decoder made for the type."""
    names = {"encode": msgspec.msgpack.Encoder().encode, "decode": msgspec.msgpack.Decoder(kind).decode}
    return "encode(value)", "decode(packed)", names["encode"](value), names


def of_struct(value, kind, format):
    """It makes tuples, so a record's class is called on them."""
    packer = struct.Struct(format)
    pack, unpack = packer.pack, packer.unpack
    if kind in (int, float):
        names = {"pack": pack, "unstruct": lambda data: unpack(data)[0]}
    elif kind in (Deal, SlotDeal):
        names = {
            "pack": lambda value: pack(value.time, value.price, value.size, value.is_buy),
            "unstruct": lambda data: kind(*unpack(data)),
        }
    else:
        names = {"pack": lambda value: pack(*value), "unstruct": unpack}
    return "pack(value)", "unstruct(structured)", names["pack"](value), names


def of_pickle(value, kind, format):
    names = {"dumps": pickle.dumps, "loads": pickle.loads, "protocol": pickle.HIGHEST_PROTOCOL}
    return "dumps(value, protocol)", "loads(pickled)", pickle.dumps(value, pickle.HIGHEST_PROTOCOL), names


LIBRARIES = {"spill_ring": of_ours, "msgspec": of_msgspec, "struct": of_struct, "pickle": of_pickle}
DATA = {"spill_ring": "data", "msgspec": "packed", "struct": "structured", "pickle": "pickled"}


def nanoseconds(way, name, *libraries):
    """Of each library, to write or to read, in turns."""
    value, kind, format = SINGLE[name]
    statements, names = [], {"value": value}
    for library in libraries:
        write, read, data, more = LIBRARIES[library](value, kind, format)
        statements.append(write if way == "write" else read)
        names |= {DATA[library]: data, **more}
        assert eval(read, dict(names)) == value, read
    return side_by_side(*statements, turns=50, **names)


class Single:
    unit = "ns"
    params = tuple(SINGLE)
    param_names = ("value",)

    def track_write(self, name):
        """`serialize` of one value."""
        return nanoseconds("write", name, "spill_ring")[0]

    def track_read(self, name):
        """`deserialize` of one value."""
        return nanoseconds("read", name, "spill_ring")[0]


class SingleOver:
    unit = "ratio"
    params = (list(SINGLE), ["msgspec", "struct", "pickle"])
    param_names = ("value", "other")

    def setup(self, name, other):
        if other == "struct" and SINGLE[name][2] is None:
            raise NotImplementedError("struct has no such type")

    def track_write(self, name, other):
        """`serialize` of one value over what the other takes to write it."""
        ours, theirs = nanoseconds("write", name, "spill_ring", other)
        return ours / theirs

    def track_read(self, name, other):
        """`deserialize` of one value over what the other takes to read it."""
        ours, theirs = nanoseconds("read", name, "spill_ring", other)
        return ours / theirs

    track_write.at_most = track_read.at_most = 7.0


class Size:
    unit = "bytes"
    params = (list(SINGLE), list(LIBRARIES))
    param_names = ("value", "library")

    def setup(self, name, library):
        SingleOver().setup(name, library)

    def track_bytes(self, name, library):
        """What one value is written in."""
        return len(LIBRARIES[library](*SINGLE[name])[2])
