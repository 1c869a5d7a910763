"""`ByteSerializer`: the bytes of each type, data that is refused, and how much memory it takes."""
import ctypes
import gc
import pickle
import struct
import threading
import tracemalloc
from dataclasses import dataclass
from typing import Annotated, Never

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.children import run_child
from helpers.values import (
    GOLDEN,
    GOLDEN_IDS,
    TELLING,
    Node,
    Order,
    Point,
    Sample,
    Version,
    deserialize,
    serialize,
    serializer,
)
from spill_ring import (
    BufferTooSmall,
    InvalidData,
    SerializationError,
    UnexpectedEnd,
)


@pytest.mark.parametrize("value, kind, golden", GOLDEN, ids=GOLDEN_IDS)
def test_golden_bytes(value, kind, golden):
    data = bytes.fromhex(golden)
    assert serialize(value, kind) == data
    for given_as in (data, bytearray(data), memoryview(data), np.frombuffer(data, "u1")):
        out = deserialize(given_as, kind)
        assert out == value and type(out) is type(value)


@pytest.mark.parametrize("value, kind, golden", TELLING, ids=[str(case[1]) for case in TELLING])
def test_a_value_tells_its_type(value, kind, golden):
    assert serialize(value) == bytes.fromhex(golden)


def test_lists_tell_theirs_where_all_are_alike():
    assert serialize([[1.5], []][:1]) == serialize([[1.5]], list[list[float]])
    assert serialize([]) == serialize([], list[str]) == b"\0"
    assert serialize(([], 1)) == b"\0\1" + bytes(7)
    assert deserialize(b"\0", list[Never]) == []
    for wrong in ([1, 1.5], [1, None], [True, 1], [(1, 2), (1, "x")]):
        with pytest.raises(TypeError, match="are of two types: give serialize the list's type"):
            serialize(wrong)
    assert serialize([1, 1.5], list[float]) == serialize([1.0, 1.5])


@pytest.mark.parametrize("value, kind, golden", GOLDEN, ids=GOLDEN_IDS)
def test_every_truncation_is_an_unexpected_end(value, kind, golden):
    data = bytes.fromhex(golden)
    for n in range(min(len(data), 300)):
        with pytest.raises(UnexpectedEnd) as caught:
            deserialize(data[:n], kind)
        assert caught.value.needed > caught.value.available >= 0
        assert n - caught.value.available + caught.value.needed <= len(data)  # no more than what must come
    with pytest.raises(InvalidData, match="1 bytes come after the value"):
        deserialize(data + b"\0", kind)


@pytest.mark.parametrize("value, kind, golden", GOLDEN, ids=GOLDEN_IDS)
def test_into_a_buffer_of_the_caller_s(value, kind, golden):
    data = bytes.fromhex(golden)
    buffer = bytearray(b"\xaa" * (len(data) + 3))
    assert serializer.to_bytes(value, buffer, kind) == len(data)
    assert buffer == data + b"\xaa" * 3
    if data:
        small = bytearray(b"\xaa" * (len(data) - 1))
        with pytest.raises(BufferTooSmall) as caught:
            serializer.to_bytes(value, small, kind)
        assert (caught.value.needed, caught.value.available) == (len(data), len(data) - 1)
        assert small == b"\xaa" * (len(data) - 1)


def test_buffers():
    array = np.zeros(4, "u2")
    assert serializer.to_bytes(np.int32(-1), array) == 4 and array.tolist() == [65535, 65535, 0, 0]
    assert serializer.to_bytes(None, bytearray()) == 0
    for wrong in (b"123456789", "text", np.zeros((4, 4))[:, 0], None):
        with pytest.raises((TypeError, BufferError, ValueError)):
            serializer.to_bytes(1, wrong)
    for wrong in ("text", np.zeros((4, 4))[:, 0], None, 5):
        with pytest.raises((TypeError, BufferError, ValueError)):
            deserialize(wrong, int)
    objects = np.array([None] * 8)
    fields = np.zeros(3, [("time", "M8[s]"), ("object", "O")])
    for wrong in (objects, memoryview(objects), fields, fields["object"].copy(), (ctypes.py_object * 4)(1, 2, 3, 4)):
        with pytest.raises(TypeError, match="holds Python objects"):
            serializer.to_bytes("spill", wrong)
    assert objects.tolist() == [None] * 8
    assert serializer.to_bytes("ab", np.zeros(1, "M8[s]")) == 3
    buffer = bytearray(3)
    with pytest.raises(OverflowError):
        serializer.to_bytes((1, 2**70), buffer)
    buffer.append(1)  # it was let go of
    data = bytearray(8)
    assert deserialize(data, int) == 0
    data.append(1)
    with pytest.raises(InvalidData):
        deserialize(data, int)
    data.append(1)


@pytest.mark.parametrize("data, kind, says", [
    ("02", bool, "a bool of 2"),
    ("ff", np.bool_, "a bool of 255"),
    ("02" "00" "02", list[bool], "a bool of 2"),
    ("02" "00" "02", NDArray[np.bool_], "a bool of 2"),
    ("02", int | None, "optional value's first byte of 2"),
    ("01ff", str, "not UTF-8"),
    ("02c328", str, "not UTF-8"),
    ("03eda080", str, "not UTF-8"),  # a surrogate
    ("8000", str, "a length of 0 in 2 bytes, where fewer do"),
    ("818000" "61", bytes, "a length of 1 in 3 bytes"),
    ("8180808000", list[np.int8], "in 5 bytes"),
    ("808080808001", str, "a length of more than 5 bytes"),
    ("ffffffffffffffffff", list[int], "a length of more than 5 bytes"),
    ("00001100" "00000000", Annotated[str, "U2"], "a character of 0x110000"),
    ("0102", Annotated[np.ndarray, ("?", (2,))], "a bool of 2"),
    ("0100000000000000" "07" + "00" * 19, Sample, "a bool of 7"),
    ("00", Version, "a version of no parts"),
    ("00", Never, "no values"),
])
def test_invalid_data(data, kind, says):
    with pytest.raises(InvalidData, match=says):
        deserialize(bytes.fromhex(data), kind)


@pytest.mark.not_sanitized
@pytest.mark.thread_unsafe(reason="several threads that start and stop tracemalloc crash CPython 3.13 without the GIL")
@pytest.mark.parametrize("length", [1, 2**31, 2**32 - 1, 2**35 - 1])
@pytest.mark.parametrize("kind", [
    list[int], list[bool], list[str], list[tuple[int, str | None]], list[Node], list[Order], list[list[bool]], str,
    bytes, NDArray[np.float32], NDArray[np.bool_], Version, list[Sample],
    list[Annotated[bytes, "S536870912"]],  # times the longest length it is negative in 64 bits
], ids=str)
def test_a_length_that_the_data_doesn_t_have_takes_no_memory(length, kind):
    data = bytearray()
    left = length
    while left > 127:
        data.append(left & 127 | 128)
        left >>= 7
    data.append(left)
    tracemalloc.start()
    try:
        with pytest.raises(UnexpectedEnd):
            deserialize(bytes(data), kind)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [list[None], list[tuple[()]], list[tuple[None, None]]], ids=str)
def test_lists_of_what_takes_no_bytes_are_refused(kind):
    with pytest.raises(TypeError, match="could be of any length"):
        serialize([], kind)
    with pytest.raises(TypeError, match="could be of any length"):
        deserialize(b"\xff\xff\xff\xff\x0f", tuple[int, kind])


def test_deep_nesting_is_an_error():
    with pytest.raises(RecursionError, match="more than 500 deep"):
        serialize(nested(2000))
    deepest = nested(240)
    data = serialize(deepest)
    assert serialize(deserialize(data, Node)) == data
    with pytest.raises(InvalidData, match="more than 500 deep"):
        deserialize((b"\0" * 8 + b"\1") * 100_000, Node)
    with pytest.raises(InvalidData, match="more than 500 deep"):
        deserialize((b"\0" * 8 + b"\0\1") * 100_000, Node)
    itself = Node(1)
    itself.next = itself
    with pytest.raises(RecursionError):
        serialize(itself)
    items = []
    items.append(items)
    with pytest.raises(RecursionError):
        serialize(items)
    kind = int
    for _ in range(3000):  # hash() of 100,000 in each other overflows the stack by itself
        kind = list[kind]
    for call in (lambda: serialize([], kind), lambda: deserialize(b"\0", kind)):
        with pytest.raises((TypeError, RecursionError)):
            call()


def nested(n):
    node = Node(0)
    for _ in range(n):
        node = Node(0, node)
    return node


def test_a_type_that_only_holds_itself_has_no_values():
    @dataclass
    class Endless:
        itself: "Endless"

    Endless.__annotations__["itself"] = Endless
    with pytest.raises(InvalidData, match="more than 500 deep"):
        deserialize(b"", Endless)
    with pytest.raises(TypeError, match="could be of any length"):
        deserialize(b"\1", list[Endless])


def test_a_list_that_changes_meanwhile():
    items = []

    class Clears:
        def to_bytes(self):
            items.clear()
            return b"x"

    items += [Clears() for _ in range(5)]
    assert serialize(items, list[Clears]) == b"\5" + b"\1x" * 5

    class Grows:
        def __index__(self):
            items.extend([1] * 1000)
            return 7

    items = [Grows(), 1]
    assert serialize(items, list[np.int8]) == b"\2\7\1"


def test_calls_within_calls():
    class Outer:
        def __init__(self, inner):
            self.inner = inner

        def to_bytes(self):
            return serialize([self.inner] * 100, list[str])

        @classmethod
        def from_bytes(cls, data):
            return cls(deserialize(data, list[str])[0])

    data = serialize([Outer("abc")] * 10)
    assert [outer.inner for outer in deserialize(data, list[Outer])] == ["abc"] * 10


def test_errors_are_of_one_family_and_pickle():
    for error in (BufferTooSmall(5, 3), UnexpectedEnd(5, 3), InvalidData("why")):
        assert isinstance(error, SerializationError) and isinstance(error, ValueError)
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)
    assert str(BufferTooSmall(5, 3)) == "the value takes 5 bytes, and the buffer has 3"
    assert str(UnexpectedEnd(5, 3)) == "the data ends too early: 5 bytes must come, and 3 do"


def test_struct_agrees():
    assert serialize((1, 2.5, np.int16(-3), True)) == struct.pack("<qdh?", 1, 2.5, -3, True)


@pytest.mark.slow
@pytest.mark.not_sanitized
def test_no_leak():
    """In an interpreter of its own: what else has run, and threads without a GIL, keep things of their own alive."""
    run_child("serialization/serializer_keeps_nothing")


@pytest.mark.slow
def test_types_without_end_don_t_fill_the_memory():
    for n in range(1200):
        serialize((1,) * n)
    tracemalloc.start()
    try:
        for n in range(3000):
            kind = tuple[Annotated[int, "u1"], Annotated[bytes, f"S{n + 1}"]]
            deserialize(bytes(n + 2), kind)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.thread_unsafe(reason="starts threads of its own")
def test_threads_make_the_same_plans():
    barrier = threading.Barrier(4)
    failures = []

    def work():
        try:
            for n in range(150):
                made = dataclass(type("Made", (), {"__annotations__": {"a": int, "b": list[str], "c": Point}}))
                kinds[n] = kinds.get(n, made)
                barrier.wait(60)
                kind = kinds[n]
                value = kind(1, ["x"], Point(np.int16(1), 2.0))
                for hint, item in ((kind, value), (list[kind], [value] * 3), (kind | None, value)):
                    assert deserialize(serialize(item, hint), hint) == item
        except BaseException as error:
            failures.append(error)
            barrier.abort()

    kinds = {}
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
