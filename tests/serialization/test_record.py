"""Records: dataclasses as items of typed rings."""
import threading
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from helpers.children import run_child
from spill_ring import ArrayRing, ByteSerializer, CollectSink, MpscRing, SpillRing, SpscRing, record

LEVEL, PHASE, AT = np.int16(-3), np.complex64(1 - 2j), np.datetime64("2026-11-25T07:33", "us")


@record
@dataclass
class Place:
    x: np.float32
    y: np.float32


@record
@dataclass(frozen=True, slots=True)
class Reading:
    time: int
    value: float
    is_valid: bool = True
    level: np.int16 = LEVEL
    count: Annotated[int, "u1"] = 200
    ratio: Annotated[float, "f4"] = 0.5
    phase: np.complex64 = PHASE
    tag: Annotated[bytes, "S4"] = b"ab"
    name: Annotated[str, "U3"] = "né"
    at: Annotated[np.datetime64, "M8[us]"] = AT
    place: Place = field(default_factory=lambda: Place(np.float32(1), np.float32(2)))


@record
@dataclass
class Frame:
    channels: Annotated[np.ndarray, ("f4", (2, 3))]
    n: np.uint64


PACKED = np.dtype([
    ("time", "i8"), ("value", "f8"), ("is_valid", "?"), ("level", "i2"), ("count", "u1"), ("ratio", "f4"),
    ("phase", "c8"), ("tag", "S4"), ("name", "U3"), ("at", "M8[us]"), ("place", [("x", "f4"), ("y", "f4")]),
])


def reading(n):
    return Reading(n, n / 2, n % 2 == 0, level=np.int16(n), place=Place(np.float32(n), np.float32(-n)))


READINGS = [reading(n) for n in range(12)]
RINGS = [
    pytest.param(lambda capacity, dtype: ArrayRing(capacity, dtype), id="array"),
    pytest.param(lambda capacity, dtype: SpillRing(capacity, dtype), id="spill"),
    pytest.param(lambda capacity, dtype: SpscRing(capacity, dtype), id="spsc"),
]


def test_the_dtype_is_packed_and_stands_for_the_class():
    assert Reading.dtype == PACKED and Reading.dtype.itemsize == 8 + 8 + 1 + 2 + 1 + 4 + 8 + 4 + 12 + 8 + 8
    assert np.dtype(Reading) is Reading.dtype
    assert np.zeros(3, Reading).dtype is Reading.dtype
    assert Frame.dtype == np.dtype([("channels", "f4", (2, 3)), ("n", "u8")])


@pytest.mark.parametrize("make", RINGS)
def test_instances_go_in_and_come_out(make):
    ring = make(5, Reading)
    assert ring.dtype is Reading.dtype
    ring.push(READINGS[0])
    ring.extend(READINGS[1:8])
    out = ring.pop()
    assert out == READINGS[3] and type(out) is Reading
    for name in ("level", "phase", "at"):  # numpy's where it says so, Python's where not
        assert type(getattr(out, name)) is type(getattr(READINGS[0], name))
    assert [type(getattr(out, name)) for name in ("time", "value", "is_valid", "count", "ratio", "tag", "name")] == [
        int, float, bool, int, float, bytes, str,
    ]
    assert type(out.place) is Place
    assert ring.try_push(READINGS[8]) and not ring.try_push(READINGS[9])
    assert ring.pop() == READINGS[4]
    assert ring.try_extend(READINGS[9:11]) == 1
    assert ring.pop("nothing") == READINGS[5]
    block = ring.pop_many(2)
    assert type(block) is np.ndarray and block.dtype == PACKED and block["time"].tolist() == [6, 7]
    ring.clear()
    assert ring.pop("nothing") == "nothing"


def test_what_looks_at_single_items_gives_instances():
    ring = ArrayRing(4, Reading)
    ring.extend(iter(READINGS))
    assert ring.peek() == ring[0] == READINGS[8] and ring.peek_back() == ring[-1] == READINGS[11]
    assert list(ring) == READINGS[8:] and list(reversed(ring)) == READINGS[:7:-1]
    assert READINGS[9] in ring and READINGS[0] not in ring and "no reading" not in ring
    for block in (ring[1:3], ring.view()[1:3], ring.latest(3)[:2], np.asarray(ring)[1:3]):
        assert type(block) is np.ndarray and block.dtype is Reading.dtype and block["time"].tolist() == [9, 10]


def test_several_producers():
    ring = MpscRing(4, Reading, producers=2)
    for producer, item in zip(ring.producers, READINGS, strict=False):
        producer.push(item)
    assert {ring.pop().time, ring.pop().time} == {0, 1} and ring.pop(None) is None
    ring.producers[0].push(READINGS[5])
    assert ring.pop() == READINGS[5]
    assert ring.dtype is Reading.dtype


def test_pop_of_a_subclass_with_a_pop_many_of_its_own():
    """It reads the memory of what the rings hold, and not of whatever that returns."""
    class Odd(MpscRing):
        def pop_many(self, n=None, *, timeout=0):
            return np.zeros(1, "u1")

    ring = Odd(4, Place, producers=2)
    with pytest.raises(IndexError):
        ring.pop()
    place = Place(np.float32(1), np.float32(2))
    ring.producers[1].push(place)
    assert ring.pop() == place and ring.pop(None) is None


def test_between_threads():
    ring = SpscRing(16, Place, overflow="block")

    def produce():
        with ring:
            for n in range(2000):
                ring.push(Place(n, -n))

    thread = threading.Thread(target=produce)
    thread.start()
    items = iter(lambda: ring.pop(None, timeout=None), None)
    assert all(item == Place(n, -n) for n, item in enumerate(items))
    thread.join()
    assert ring.stats.popped == 2000


def test_sinks_get_blocks_and_rings_chain():
    sink = CollectSink()
    warm = ArrayRing(3, Reading.dtype, sink)
    hot = ArrayRing(2, Reading, warm)
    hot.extend(READINGS)
    assert sink.items.dtype == PACKED and sink.items["time"].tolist() == list(range(7))
    assert [int(item["time"]) for item in warm] == [7, 8, 9]  # made with the dtype: numpy's own items
    again = ArrayRing(20, Reading)
    hot.drain(again)
    assert list(again) == READINGS[10:]


@pytest.mark.parametrize("make", RINGS)
def test_what_numpy_takes_goes_in_too(make):
    ring = make(10, Frame)
    block = np.zeros(2, Frame)
    block["channels"] = np.arange(12).reshape(2, 2, 3)
    ring.extend(block)
    ring.push(block[1])  # np.void
    ring.push(([[0, 1, 2], [3, 4, 5]], 7))
    ring.extend([([[0, 1, 2], [3, 4, 5]], 7), Frame(np.ones((2, 3), "f8"), 8), block[0]])
    ring.push(Frame([[1, 2, 3], [4, 5, 6]], 9))
    values = [ring.pop() for _ in range(8)]
    assert all(type(value) is Frame for value in values)
    assert [int(value.n) for value in values] == [0, 0, 0, 7, 7, 8, 0, 9]
    assert_array_equal(values[3].channels, np.arange(6, dtype="f4").reshape(2, 3))
    assert values[3].channels.dtype == "f4" and values[3].channels.flags.writeable
    assert ring.is_empty


def test_nothing_is_copied_between_a_ring_and_numpy():
    ring = ArrayRing(4, Reading)
    ring.extend(READINGS[:4])
    view = ring.view()
    assert np.shares_memory(view, ring.view()) and view["value"].base is not None
    with ring.reserve(2) as block:
        block["time"] = [41, 42]
    assert [item.time for item in ring] == [2, 3, 41, 42]
    assert view["time"].tolist() == [0, 1, 2, 3] or view["time"].tolist()[:2] == [41, 42]
    out = np.zeros(2, Reading)
    assert ring.pop_into(out) == 2 and out["time"].tolist() == [2, 3]


def test_an_instance_is_a_copy():
    ring = ArrayRing(1, Frame)
    given = Frame(np.zeros((2, 3), "f4"), 1)
    ring.push(given)
    given.channels[:] = 5
    out = ring.peek()
    assert out.channels.sum() == 0
    out.channels[:] = 6
    assert ring.pop().channels.sum() == 0


def test_inheritance_defaults_and_class_variables():
    @record
    @dataclass
    class Labelled(Place):
        dtype: ClassVar[np.dtype[Any]]
        kind: ClassVar[str] = "label"
        label: Annotated[str, "U8"] = "none"
        made: float = field(init=False, default=2.0)

    assert Labelled.dtype.names == ("x", "y", "label", "made") and Place.dtype.names == ("x", "y")
    ring = ArrayRing(2, Labelled)
    ring.push(Labelled(np.float32(1), np.float32(2)))
    assert ring.pop() == Labelled(np.float32(1), np.float32(2))


def test_post_init_is_not_run_again():
    calls = []

    @record
    @dataclass(frozen=True)
    class Doubled:
        x: float

        def __post_init__(self):
            calls.append(self)
            object.__setattr__(self, "x", 2 * self.x)

    ring = ArrayRing(2, Doubled)
    ring.push(Doubled(1.5))
    assert ring.pop().x == 3.0 and len(calls) == 1


@pytest.mark.parametrize("change, error, says", [
    ({"level": 40_000}, OverflowError, "40000 is out of range for int16: -32768 to 32767"),
    ({"count": -1}, OverflowError, "-1 is out of range for uint8: 0 to 255"),
    ({"time": 1 << 63}, OverflowError, "out of range for int64"),
    ({"time": 1.5}, TypeError, "expected an integer for int64, not 1.5"),
    ({"value": "x"}, TypeError, "expected a number for float64, not 'x'"),
    ({"ratio": 1e300}, OverflowError, "float too large"),
    ({"is_valid": 1}, TypeError, "expected True or False, not 1"),
    ({"tag": b"abcde"}, ValueError, "b'abcde' is longer than the 4 of"),
    ({"tag": b"a\0"}, ValueError, "ends in a zero"),
    ({"tag": "ab"}, TypeError, "expected bytes"),
    ({"name": "four"}, ValueError, "'four' is longer than the 3 of"),
    ({"name": b"a"}, TypeError, "expected text"),
    ({"at": 5.5}, (TypeError, ValueError), "datetime"),
    ({"place": (1, 2)}, TypeError, "expected a Place, not (1, 2)"),
])
@pytest.mark.parametrize("make", RINGS)
def test_a_wrong_field_is_named_and_nothing_pushed(make, change, error, says):
    [name] = change
    ring = make(4, Reading)
    item = Reading(**({"time": 1, "value": 2.0} | change))
    for push in (ring.push, ring.try_push, lambda item: ring.extend([READINGS[0], item])):
        with pytest.raises(error) as caught:
            push(item)
        assert says in str(caught.value)
        assert caught.value.__notes__ == [f"in Reading.{name}"]
    assert len(ring) == 0


def test_a_wrong_item_is_refused():
    @dataclass
    class Sub(Place):
        z: float = 0.0

    ring = ArrayRing(4, Place)
    for item in (READINGS[0], Sub(1, 2), None, "x", 5, (1, 2, 3), object()):
        with pytest.raises((TypeError, ValueError)):
            ring.push(item)
        with pytest.raises((TypeError, ValueError)):
            ring.extend([Place(1, 2), item])
    with pytest.raises(TypeError, match="expected a Place, a tuple or one of numpy's records, not Reading"):
        ring.push(READINGS[0])
    with pytest.raises(AttributeError, match="y"):
        item = Place(1, 2)
        del item.y
        ring.push(item)
    assert ring.is_empty
    with pytest.raises(TypeError, match="Sub is not a record itself"):
        ArrayRing(4, Sub)
    with pytest.raises(TypeError, match="is a tuple or one of numpy's own"):
        ArrayRing(4, Place.dtype).push(Place(1, 2))


@pytest.mark.parametrize("hint", [
    str, bytes, object, list[int], tuple[int, int], int | None, np.ndarray, np.str_, np.longdouble, np.floating,
    "Nowhere", np.datetime64, None, dict, Annotated[int, "f4"], Annotated[np.float32, "f8"],
    Annotated[np.ndarray, "f4"],
    Annotated[float, ("f4", (3,))], Annotated[bytes, "S"], Annotated[object, "O"], Annotated[int, None],
    Annotated[np.ndarray, ([("a", "f4")], (3,))], Annotated[np.longdouble, np.longdouble], Annotated[int, "no dtype"],
    Annotated[np.ndarray, ("f4", (0,))],
], ids=str)
def test_a_field_of_no_fixed_size_is_named(hint):
    @dataclass
    class Wrong:
        right: int
        wrong: hint

    with pytest.raises(TypeError, match="wrong" if hint != "Nowhere" else "Nowhere"):
        record(Wrong)
    assert not hasattr(Wrong, "dtype")


def test_what_is_no_dataclass_is_refused():
    class Plain:
        x: int

    class Sub(Place):
        pass

    @dataclass
    class Empty:
        pass

    @dataclass
    class Taken:
        dtype: int

    for wrong in (Plain, Sub, READINGS[0], 5, None, int):
        with pytest.raises(TypeError, match="@record goes above @dataclass"):
            record(wrong)
    with pytest.raises(TypeError, match="has no fields"):
        record(Empty)
    with pytest.raises(TypeError, match="another name"):
        record(Taken)
    with pytest.raises(TypeError, match="another name"):
        record(Place)  # twice


def test_tampering_is_no_crash():
    @record
    @dataclass
    class Own:
        x: float

    Own.dtype = np.dtype("i1")
    ring = ArrayRing(3, Own)
    ring.push(Own(1.5))
    assert ring.pop() == Own(1.5)
    assert type(Own.__record__)().dtype is None and repr(type(Own.__record__)())
    Other = dataclass(type("Other", (), {"__annotations__": {"x": int}}))
    Other.__record__ = Own.__record__
    with pytest.raises(TypeError, match="not a record itself"):
        ArrayRing(3, Other)
    Own.__record__ = 5
    with pytest.raises(TypeError):
        ArrayRing(3, Own).push(Own(1.5))


def test_a_new_that_takes_arguments_is_said_and_nothing_popped():
    @record
    @dataclass
    class Demanding:
        x: float

        def __new__(cls, x):
            return object.__new__(cls)

    ring = ArrayRing(3, Demanding)
    ring.push(Demanding(1.5))
    for _ in range(2):
        with pytest.raises(TypeError, match="missing"):
            ring.pop()
    assert len(ring) == 1 and ring.pop_many()["x"].tolist() == [1.5]


@pytest.mark.slow
@pytest.mark.not_sanitized
@pytest.mark.parametrize("check", ["check_no_leak", "check_that_a_class_goes_away"])
def test_no_leak(check):
    """In an interpreter of its own: what else has run, and threads without a GIL, keep things of their own alive."""
    run_child("serialization/record_keeps_nothing", check)


def test_the_bytes_of_an_array_are_the_serializer_s():
    array = np.zeros(3, Reading)
    ring = ArrayRing(3, Reading)
    ring.extend(READINGS[:3])
    array[:] = ring.view()
    serializer = ByteSerializer()
    if np.little_endian:
        assert array.tobytes() == b"".join(map(serializer.serialize, READINGS[:3]))
    assert serializer.deserialize(serializer.serialize(array, list[Reading]), list[Reading]) == READINGS[:3]
