"""Which types have a form in bytes, and what is said of all others."""
import enum
import math
import typing
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.values import Labelled, Order, Point, Version, deserialize, serialize, serializer
from spill_ring import (
    FromBytes,
    ToBytes,
)


@pytest.mark.parametrize("value, kind, error", [
    (2**63, int, OverflowError),
    (-(2**63) - 1, int, OverflowError),
    (2**64, np.uint64, OverflowError),
    (-1, np.uint64, OverflowError),
    (-1, np.uint8, OverflowError),
    (256, np.uint8, OverflowError),
    (128, np.int8, OverflowError),
    (-129, np.int8, OverflowError),
    (2**31, np.int32, OverflowError),
    (2**32, np.uint32, OverflowError),
    (10**400, float, OverflowError),
    (1e300, np.float32, OverflowError),
    (1e5, np.float16, OverflowError),
    (1.5, int, TypeError),
    ("1", int, TypeError),
    ("1", float, TypeError),
    (1j, float, TypeError),
    (1, bool, TypeError),
    (0, None, TypeError),
    (b"a", str, TypeError),
    ("a", bytes, TypeError),
    ("\ud800", str, ValueError),
    ((1, 2), tuple[int], TypeError),
    ([1], tuple[int], TypeError),
    ({1}, list[int], TypeError),
    ("ab", list[str], TypeError),
    (5, list[int], TypeError),
    ([1, None], list[int], TypeError),
    ([1.0], NDArray[np.float64], TypeError),
    (np.zeros((2, 2)), list[float], ValueError),
    (np.zeros(2), list[int], TypeError),
    (np.zeros(2), list[str], TypeError),
    (np.array([300], "u2"), list[np.uint8], OverflowError),
    (np.array([2], "u1").view("?"), list[bool], ValueError),
    (Point(1, 2.0), Order, TypeError),
    (Point("1", 2.0), Point, TypeError),
    (Labelled(1, 2.0, "lost"), Point, TypeError),
    ([Labelled(1, 2.0, "lost")], list[Point], TypeError),
    (object(), Point, TypeError),
    (b"\1", Version, TypeError),
    (b"abc", Annotated[bytes, "S2"], ValueError),
])
def test_a_value_of_another_type_is_refused(value, kind, error):
    with pytest.raises(error) as caught:
        serialize(value, kind)
    assert not isinstance(caught.value, AttributeError)
    with pytest.raises(error):
        serializer.to_bytes(value, bytearray(100), kind)


def test_what_passes_for_a_number():
    assert serialize(np.int64(5), np.int16) == b"\5\0" == serialize(True, np.int16)[:0] + b"\5\0"
    assert serialize(1, float) == serialize(np.float32(1), float) == serialize(np.int8(1), float) == serialize(1.0)
    assert serialize(np.True_, bool) == b"\1"
    assert math.isnan(deserialize(serialize(math.nan), float))
    assert math.copysign(1, deserialize(serialize(-0.0), float)) == -1


class Color(enum.IntEnum):
    RED = 1


class Text(str):
    pass


@pytest.mark.parametrize("kind", [
    object, list, tuple, typing.List, typing.Tuple, set[int], dict[str, int], list[object], tuple[int, ...],  # noqa: UP006
    int | str, int | str | None, Any, Color, Text, complex, np.generic, np.floating, np.longdouble, np.str_,
    np.datetime64, np.ndarray, NDArray[np.str_], NDArray[Any], Annotated[int, "a note"], Annotated[np.ndarray, "f4"],
    enum.Enum, Exception, bytearray, "int", 5, ...,
], ids=str)
def test_types_without_a_form_say_so(kind):
    for call in (
        lambda: deserialize(b"\1" * 100, kind),
        lambda: deserialize(b"\1" * 100, tuple[int, kind]) if kind is not ... else deserialize(b"", ...),
        lambda: deserialize(b"\1" * 100, list[kind]),
        lambda: serialize(1, kind) if kind is not ... else serialize(object()),
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("value", [
    pytest.param(object(), id="object"), {1}, {}, bytearray(b"x"), Color.RED, Text("x"), 1j, np.longdouble(1),
    np.str_("x"), np.zeros((2, 2)), np.zeros(2, "M8[s]"), np.zeros(2, "O"), np.zeros(2, [("a", "f4")]), np.void(b"x"),
    pytest.param([object()], id="list of object"), (1, {}), int,
], ids=str)
def test_values_without_a_form_say_so(value):
    with pytest.raises(TypeError, match="no form in bytes"):
        serialize(value)


def test_the_message_says_what_there_is():
    with pytest.raises(TypeError, match=r"field 'b' of Bad: .*set\[int\] has no form in bytes: there are None, bool"):
        @dataclass
        class Bad:
            a: int
            b: set[int]

        serialize(Bad(1, {2}))
    with pytest.raises(TypeError) as caught:
        serialize(Order("x", "AB", None, []))
    assert caught.value.__notes__ == ["in Order.id"]
    with pytest.raises(TypeError) as caught:
        serialize((1, "x"), tuple[int, int])
    assert caught.value.__notes__ == ["in item 1 of a tuple"]


def test_own_classes_by_one_of_the_protocols():
    class Writes:
        def to_bytes(self):
            return b"ab"

    class Reads:
        @classmethod
        def from_bytes(cls, data):
            return data

    class Wrong:
        def to_bytes(self):
            return "ab"

    class Raises:
        def to_bytes(self):
            raise KeyError("mine")

        @classmethod
        def from_bytes(cls, data):
            raise KeyError("mine")

    writes: ToBytes = Writes()
    reads: type[FromBytes] = Reads
    assert serialize(writes) == b"\2ab" and deserialize(b"\2ab", reads) == b"ab"
    with pytest.raises(TypeError, match="no from_bytes"):
        deserialize(b"\2ab", Writes)
    with pytest.raises(TypeError, match="no to_bytes"):
        serialize(Reads())
    with pytest.raises(TypeError, match="must return bytes, not 'ab'"):
        serialize(Wrong())
    for call in (lambda: serialize([Raises()]), lambda: deserialize(b"\1\0", list[Raises])):
        with pytest.raises(KeyError, match="mine"):
            call()


def test_an_int_is_not_taken_for_what_writes_itself():
    class Number(int):
        pass

    class Own(int):
        def to_bytes(self):
            return b"own"

        @classmethod
        def from_bytes(cls, data):
            return cls(len(data))

    assert serialize(5) == bytes([5]) + bytes(7)
    with pytest.raises(TypeError, match="no form"):
        serialize(Number(5))
    assert serialize(Number(5), int) == serialize(5)
    assert serialize(Own(5)) == b"\3own" and deserialize(b"\3own", Own) == 3


def test_protocols_are_not_checked_at_run_time():
    """Else every int would be a `ToBytes`."""
    with pytest.raises(TypeError):
        isinstance(5, ToBytes)
