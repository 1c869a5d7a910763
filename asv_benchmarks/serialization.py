"""`ByteSerializer` beside msgspec's MessagePack, struct and pickle: nanoseconds to write and to read one value.

Prints a Markdown table. msgspec and struct are given what they are fastest with: an encoder and a decoder made
once for the type, a compiled format. struct makes tuples, so it has a record's class called on them.
"""
import pickle
import struct
from dataclasses import astuple, dataclass
from typing import Annotated

import msgspec
import numpy as np
from benchmarks.serialize import Order
from benchmarks.side_by_side import side_by_side

from spill_ring import ByteSerializer, record


@record
@dataclass
class Tick:
    time: int
    price: float
    size: Annotated[int, "u4"]
    is_trade: bool


@record
@dataclass(slots=True)
class SlotTick:
    time: int
    price: float
    size: Annotated[int, "u4"]
    is_trade: bool


TICK = (1_790_000_000_000, 101.25, 300, True)
CASES = {
    "int": (1_790_000_000, int, "<q"),
    "float": (101.25, float, "<d"),
    "str of 11": ("temperature", str, None),
    "bytes of 1,000": (bytes(1000), bytes, None),
    "tuple of int, float, bool": ((1_790_000_000, 101.25, True), tuple[int, float, bool], "<qd?"),
    "record of four numbers": (Tick(*TICK), Tick, "<qdI?"),
    "the same with slots": (SlotTick(*TICK), SlotTick, "<qdI?"),
    "dataclass with text, optional, list": (Order(7, "ABC", 2.5, ["new", "limit"]), Order, None),
    "list of 1,000 float": (np.arange(1000.0).tolist(), list[float], None),
}


def of_struct(kind, format):
    packer = struct.Struct(format)
    if kind in (int, float):
        return packer.pack, lambda data, unpack=packer.unpack: unpack(data)[0]
    if kind in (Tick, SlotTick):
        return (
            lambda value, pack=packer.pack: pack(value.time, value.price, value.size, value.is_trade),
            lambda data, unpack=packer.unpack: kind(*unpack(data)),
        )
    return lambda value, pack=packer.pack: pack(*value), packer.unpack


def nanoseconds(value, kind, format):
    """Write and read, of each: ours, msgspec, struct, pickle; None where it can't."""
    serializer = ByteSerializer()
    names = {
        "serialize": serializer.serialize, "deserialize": serializer.deserialize, "kind": kind, "value": value,
        "encode": msgspec.msgpack.Encoder().encode, "decode": msgspec.msgpack.Decoder(kind).decode,
        "dumps": pickle.dumps, "loads": pickle.loads, "protocol": pickle.HIGHEST_PROTOCOL,
    }
    if format:
        names["pack"], names["unpack"] = of_struct(kind, format)
    writers = ["serialize(value, kind)", "encode(value)", *["pack(value)"] * bool(format), "dumps(value, protocol)"]
    readers = ["deserialize(ours, kind)", "decode(theirs)", *["unpack(packed)"] * bool(format), "loads(pickled)"]
    names["ours"] = serializer.serialize(value, kind)
    names["theirs"] = names["encode"](value)
    names["pickled"] = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    if format:
        names["packed"] = names["pack"](value)
        assert names["packed"] == names["ours"]
    made = serializer.deserialize(names["ours"], kind)
    assert made == value and names["decode"](names["theirs"]) == value, (made, astuple(made))
    times = list(zip(side_by_side(*writers, **names), side_by_side(*readers, **names), strict=True))
    if not format:
        times.insert(2, None)
    sizes = [len(names["ours"]), len(names["theirs"]), len(names["packed"]) if format else None, len(names["pickled"])]
    return times, sizes


def main():
    print("| write / read, ns | `ByteSerializer` | msgspec | struct | pickle | bytes of each |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, case in CASES.items():
        times, sizes = nanoseconds(*case)
        cells = [f"{pair[0]:,.0f} / {pair[1]:,.0f}" if pair else "" for pair in times]
        print(f"| {name} | {' | '.join(cells)} | {', '.join(f'{n:,}' for n in sizes if n)} |", flush=True)


if __name__ == "__main__":
    main()
