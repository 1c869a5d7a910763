"""Values, their types, and their bytes: what the tests of the serializer share."""
from dataclasses import dataclass, field
from typing import Annotated, Optional, Union, get_origin

import numpy as np

from spill_ring import (
    ByteSerializer,
    InvalidData,
    record,
)

serializer = ByteSerializer()
serialize, deserialize = serializer.serialize, serializer.deserialize


@record
@dataclass(frozen=True)
class Point:
    x: np.int16
    y: Annotated[float, "f4"]


@dataclass(frozen=True)
class Labelled(Point):
    label: str


@record
@dataclass
class Sample:
    time: int
    ok: bool
    tag: Annotated[bytes, "S3"]
    name: Annotated[str, "U2"]
    flags: Annotated[np.ndarray, ("?", (2,))] = field(compare=False)
    point: Point


@dataclass
class Order:
    id: np.uint32
    symbol: str
    price: float | None
    points: list[Point]


@dataclass
class Node:
    value: int
    next: Optional["Node"] = None
    children: list["Node"] = field(default_factory=list)


class Version:
    """Of one's own."""

    def __init__(self, *parts):
        self.parts = parts

    def __eq__(self, other):
        return self.parts == other.parts

    def __hash__(self):
        return hash(self.parts)

    def __repr__(self):
        return f"Version{self.parts}"

    def to_bytes(self):
        return bytes(self.parts)

    @classmethod
    def from_bytes(cls, data):
        if not data:
            raise InvalidData("a version of no parts")
        return cls(*data)


GOLDEN = [
    (None, None, ""),
    (None, type(None), ""),
    (True, bool, "01"),
    (False, bool, "00"),
    (np.True_, np.bool_, "01"),
    (np.int8(-2), np.int8, "fe"),
    (np.uint8(200), np.uint8, "c8"),
    (np.int16(-2), np.int16, "feff"),
    (np.uint16(0x1234), np.uint16, "3412"),
    (np.int32(-2), np.int32, "feffffff"),
    (np.uint32(0x12345678), np.uint32, "78563412"),
    (np.int64(1), np.int64, "0100000000000000"),
    (np.uint64(2**64 - 2), np.uint64, "feffffffffffffff"),
    (np.float16(1.5), np.float16, "003e"),
    (np.float32(1.5), np.float32, "0000c03f"),
    (np.float64(1.5), np.float64, "000000000000f83f"),
    (np.complex64(1.5 - 1.5j), np.complex64, "0000c03f0000c0bf"),
    (1, int, "0100000000000000"),
    (-1, int, "ffffffffffffffff"),
    (2**63 - 1, int, "ffffffffffffff7f"),
    (-(2**63), int, "0000000000000080"),
    (1.5, float, "000000000000f83f"),
    ("", str, "00"),
    ("aé€😀", str, "0a" "61" "c3a9" "e282ac" "f09f9880"),
    ("a" * 127, str, "7f" + "61" * 127),
    ("a" * 128, str, "8001" + "61" * 128),
    (b"a" * 16384, bytes, "808001" + "61" * 16384),
    (b"\0\xff", bytes, "0200ff"),
    ((), tuple[()], ""),
    ((True, "a", np.int16(3)), tuple[bool, str, np.int16], "01" "0161" "0300"),
    (((1.5,), None), tuple[tuple[float], None], "000000000000f83f"),
    ([], list[int], "00"),
    ([np.int16(1), np.int16(-1)], list[np.int16], "02" "0100" "ffff"),
    ([["a"], []], list[list[str]], "02" "01" "0161" "00"),
    ([True, False], list[bool], "02" "01" "00"),
    (None, int | None, "00"),
    (5, int | None, "01" "0500000000000000"),
    ("x", Optional[str], "01" "0178"),  # noqa: UP045
    (False, Union[None, bool], "01" "00"),  # noqa: UP007
    ([None, "x"], list[str | None], "02" "00" "010178"),
    (7, Annotated[int, "u2"], "0700"),
    (0.5, Annotated[float, "f2"], "0038"),
    (b"ab", Annotated[bytes, "S4"], "61620000"),
    ("é", Annotated[str, "U2"], "e900000000000000"),
    (np.datetime64(5, "s"), Annotated[np.datetime64, "M8[s]"], "0500000000000000"),
    (Point(np.int16(-2), 1.5), Point, "feff" "0000c03f"),
    (
        Sample(1, True, b"ab", "c", np.array([True, False]), Point(np.int16(2), -1.5)),
        Sample,
        "0100000000000000" "01" "616200" "6300000000000000" "0100" "0200" "0000c0bf",
    ),
    (
        Order(np.uint32(9), "AB", None, [Point(np.int16(1), 0.0)]),
        Order,
        "09000000" "024142" "00" "01" "0100" "00000000",
    ),
    (
        Node(1, Node(2), [Node(3)]),
        Node,
        "0100000000000000" "01" "0200000000000000" "00" "00" "01" "0300000000000000" "00" "00",
    ),
    (Version(1, 2, 3), Version, "03" "010203"),
    ([Version(1), Version(2, 3)], list[Version], "02" "0101" "020203"),
]
GOLDEN_IDS = [str(kind).replace("typing.", "") for _, kind, _ in GOLDEN]
# What tells its type by itself.
TELLING = [
    case for case in GOLDEN
    if get_origin(case[1]) not in (Annotated, Union, type(int | None)) and "None]" not in str(case[1])
    and not isinstance(case[0], Order | Node | list)
]
