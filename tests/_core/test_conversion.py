"""What becomes an item, and what is refused because it would be changed."""
import array
import collections
import datetime as dt
import decimal

import numpy as np
import pytest

from spill_ring import ArrayRing, CollectSink, MpscRing, SpscRing

NAMED = [("name", "U4"), ("count", "i4")]
NESTED = [("at", "f8"), ("named", NAMED), ("v", "f4", (3,))]
FRAME = ("f4", (3,))
UTC = dt.UTC


def record(value, dtype):
    return np.array(value, dtype)[()]


CHANGED = [
    ("U4", "GOOGL", TypeError), ("U4", "a\0", TypeError), ("U4", np.str_("GOOGL"), TypeError), ("U4", 12345, TypeError),
    (">U2", "abc", TypeError), ("S2", b"abc", TypeError), ("S2", b"a\0", TypeError), ("S2", "ab", TypeError),
    ("S2", np.bytes_(b"abc"), TypeError), ("V4", b"ab", TypeError), ("V4", b"abcde", TypeError), ("V4", 5, TypeError),
    ("V8", np.int64(5), TypeError), ("V4", np.void(b"ab"), TypeError),
    ("i4", 1.5, TypeError), ("i4", float("nan"), TypeError), ("i4", np.float64(2), TypeError), ("i4", "1", TypeError),
    ("i4", 2**31, OverflowError), ("?", 2, TypeError), ("?", 1.0, TypeError), ("f8", 1j, TypeError),
    ("f8", "1", TypeError), ("f8", None, TypeError), ("f8", decimal.Decimal(1), TypeError), ("f2", None, TypeError),
    ("f8", np.ma.masked, TypeError), ("i4", np.ma.masked, TypeError), ("f8", [1.0], ValueError), ("f8", (), ValueError),
    ("M8[s]", dt.datetime(2020, 1, 1, 0, 0, 0, 5), TypeError), ("M8[D]", dt.datetime(2020, 1, 1, 3), TypeError),
    ("M8[s]", "2020-01-01T00:00:00.5", TypeError), ("M8[s]", np.datetime64("2020-01-01T00:00:00.5"), TypeError),
    ("M8[Y]", dt.date(2020, 2, 1), TypeError), ("M8[s]", dt.datetime(2020, 1, 1, tzinfo=UTC), TypeError),
    ("M8[s]", "2020-01-01T00:00Z", TypeError), ("M8[s]", "2020-01-01T00:00+02:00", TypeError),
    ("M8[ns]", dt.datetime(2500, 1, 1), OverflowError), ("M8[ns]", np.datetime64("2500-01-01"), OverflowError),
    ("M8[ns]", np.datetime64(2500, "Y"), OverflowError), ("M8[s]", 1.5, TypeError), ("M8[s]", 2**63, OverflowError),
    ("M8[s]", -(2**63), OverflowError), ("M8[s]", np.timedelta64(1, "s"), TypeError),
    ("m8[s]", dt.timedelta(milliseconds=1), TypeError), ("m8[ns]", dt.timedelta.max, OverflowError),
    ("m8[us]", dt.timedelta.max, OverflowError), ("m8[s]", 1.5, TypeError), ("m8[s]", 2**70, OverflowError),
    ("m8[s]", np.uint64(2**63), OverflowError), ("m8[D]", np.timedelta64(1, "M"), TypeError),
    (NAMED, ("GOOGL", 1), TypeError), (NAMED, ("GOOG", 1.7), TypeError), (NAMED, ("GOOG", 2**31), OverflowError),
    (NAMED, ("GOOG", "1"), TypeError), (NAMED, ("GOOG", None), TypeError), (NAMED, ("GOOG", np.ma.masked), TypeError),
    (NAMED, ("GOOG",), ValueError), (NAMED, 5, TypeError), (NAMED, b"abc", TypeError),
    (NAMED, record(("a", 1), [("other", "U4"), ("count", "i4")]), TypeError),
    (NAMED, record((1, "a"), [("count", "i4"), ("name", "U4")]), TypeError),
    (NAMED, record(("GOOGL", 1), [("name", "U5"), ("count", "i4")]), TypeError),
    (NAMED, record(("a", 1.5), [("name", "U4"), ("count", "f8")]), TypeError),
    (NAMED, record(("a", 2**40), [("name", "U4"), ("count", "i8")]), OverflowError),
    (NAMED, record(("a", [1, 2]), [("name", "U4"), ("count", "i4", (2,))]), ValueError),
    (NAMED, np.ma.array([("a", 1)], dtype=NAMED, mask=[(0, 1)])[0], TypeError),
    (NESTED, (1, ("GOOGL", 1), [1, 2, 3]), TypeError), (NESTED, (1, ("a", 1.5), [1, 2, 3]), TypeError),
    (NESTED, (1, ("a", 1), [1, 2]), ValueError), (NESTED, (1, ("a", 1), 1), ValueError),
    (NESTED, (1, ("a", 1), [1, 2, None]), TypeError),
    (NESTED, (1, ("a", 1), np.ma.array([1, 2, 3], mask=[0, 1, 0])), TypeError),
    (NESTED, (1, record(("a", 1), [("x", "U4"), ("count", "i4")]), [1, 2, 3]), TypeError),
    (FRAME, [1, 2], ValueError), (FRAME, 1, ValueError), (FRAME, "abc", ValueError), (FRAME, [[1, 2, 3]], ValueError),
    (FRAME, np.ma.array([1, 2, 3], mask=[0, 1, 0]), TypeError), (("i4", (3,)), [1, 2, 3.5], TypeError),
    (("i4", (3,)), np.array([1, 2, 3.5]), TypeError), (("U2", (2,)), ["ab", "abc"], TypeError),
    (("f4", (2, 2)), [[1, 2], [3]], ValueError),
]
RINGS = {
    "array": ArrayRing,
    "spsc": SpscRing,
    "blocking": lambda capacity, dtype: SpscRing(capacity, dtype, overflow="block"),
    "mpsc": lambda capacity, dtype: MpscRing(capacity, dtype, producers=1).producers[0],
}


@pytest.mark.parametrize("make", RINGS.values(), ids=RINGS)
@pytest.mark.parametrize("dtype, item, error", CHANGED, ids=lambda value: str(value)[:40])
def test_what_would_be_changed_is_refused_by_every_call(make, dtype, item, error):
    ring = make(4, dtype)
    for call, given in [
        (ring.push, item), (ring.extend, [item]), (ring.extend, (item, item)), (ring.extend, iter([item])),
        (ring.extend, collections.deque([item])), (getattr(ring, "try_push", ring.push), item),
        (getattr(ring, "try_extend", ring.extend), [item]),
    ]:
        with pytest.raises(error):
            call(given)
    assert len(ring) == 0


@pytest.mark.parametrize(
    "dtype, items",
    [
        ("U4", ["GOOG", "é", "", b"ab", 5]), (">U4", ["GOOG", "a", np.str_("b")]),
        ("S3", [b"abc", b"", np.bytes_(b"a")]),
        ("V4", [b"abcd", np.void(b"abcd")]), ("u8", [2**63, 1, np.uint64(2**64 - 1)]),
        ("u8", [np.uint64(2**63), np.int64(1)]),
        ("i8", [True, np.int8(3), np.uint64(5)]), ("f8", [1, 2.5, True, np.float32(1.5), 2**70]), ("f2", [1, 2.5]),
        ("g", [1, 2.5]), ("c16", [1, 2.5, 1j]), ("?", [True, False, np.True_]), (">i4", [1, 2**31 - 1]),
        (">f8", [1, 2.5]),
        ("M8[s]", ["2020-01-01T00:00:05", dt.datetime(2020, 1, 1), dt.date(2020, 1, 1), np.datetime64("NaT"), None, 5]),
        ("M8[s]", [np.datetime64("2020"), np.datetime64("2020-01-01T00:00:01.000")]),
        ("M8[us]", [dt.datetime(2020, 1, 1, 1, 1, 1, 5)]),
        ("m8[s]", [5, dt.timedelta(seconds=5), np.timedelta64(2000, "ms"), np.timedelta64("NaT"), np.timedelta64(5)]),
        (NAMED, [("GOOG", 1), record(("a", 1), NAMED), record(("a", 1), np.dtype(NAMED, align=True))]),
        (NAMED, [record(("a", 1), [("name", "U2"), ("count", "i8")])]), (np.dtype(NAMED, align=True), [("GOOG", 1)]),
        (FRAME, [[1, 2, 3], np.arange(3), range(3), array.array("d", [1, 2, 3]),
        (1, 2.5, True), np.arange(3, dtype="f4")]),
        (("f4", (2, 2)), [[[1, 2], [3, 4]], np.eye(2)]), (("U2", (2,)), [["ab", "c"]]), (("?", (2,)), [[True, False]]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_stays_the_same_is_taken(dtype, items):
    expected = np.zeros(len(items), dtype)
    for i, item in enumerate(items):
        expected[i] = item.item() if isinstance(item, np.generic) and item.dtype.names else item
    ring = ArrayRing(8, dtype)
    ring.extend(items)
    assert ring.view().tobytes() == expected.tobytes() or np.array_equal(ring.view(), expected)
    assert ring.view().dtype == expected.dtype


def test_fields_keep_their_places():
    ring = ArrayRing(4, NESTED)
    ring.extend([(1, ("a", 2), range(3)), (1.5, record(("b", True), NAMED), np.arange(3)),
    (2, ("", 0), collections.deque([1, 2, 3]))])
    assert ring.view()["named"].tolist() == [("a", 2), ("b", 1), ("", 0)]
    assert ring.view()["v"].tolist() == [[0, 1, 2], [0, 1, 2], [1, 2, 3]]


@pytest.mark.parametrize("dtype", ["f8", "U4", "M8[s]", "?", "V4", "c8", NAMED, FRAME, NESTED, (NAMED, (2,))], ids=str)
def test_nothing_is_nothing_for_every_dtype(dtype):
    for make in RINGS.values():
        ring = make(4, dtype)
        for nothing in ([], (), np.array([]), collections.deque(), range(0), iter([]), np.zeros(0, dtype)):
            ring.extend(nothing)
        assert len(ring) == 0
    sink = CollectSink()
    ArrayRing(2, dtype, sink)
    sink.send([])
    assert len(sink) == 0


@pytest.mark.parametrize(
    "dtype, block, error",
    [
        ("U4", np.array(["GOOG", "a"], "U9"), None), ("U4", np.array(["GOOGL"]), TypeError),
        ("S2", np.array([b"abc"]), TypeError),
        ("U4", np.array(["abc"], np.dtypes.StringDType()), None),
        ("U4", np.array(["abcde"], np.dtypes.StringDType()), TypeError),
        ("U4", np.array([1, 22]), None), ("U4", np.array([12345]), TypeError), ("f4", np.arange(4.0)[::2], None),
        ("i4", np.arange(4.0), TypeError), ("i4", np.array([2**40]), OverflowError), ("u1", np.arange(3), TypeError),
        ("M8[s]", np.array(["2020"], "M8[ns]"), None),
        ("M8[s]", np.array(["2020-01-01T00:00:00.5"], "M8[ns]"), TypeError),
        ("M8[ns]", np.array(["2500"], "M8[s]"), OverflowError), ("M8[ns]", np.array(["NaT", "2020"], "M8[s]"), None),
        ("f8", np.ma.array([1.0, 2.0]), None), ("f8", np.ma.array([1.0, 2.0], mask=[0, 1]), TypeError),
        (NAMED, np.ma.array([("a", 1)], dtype=NAMED, mask=[(1, 0)]), TypeError),
        (NAMED, np.zeros(2, [("a", "U4"), ("b", "i4")]), TypeError), (NAMED, np.zeros(2, [("count", "i4"),
        ("name", "U4")]), TypeError),
        (NAMED, np.zeros(2, np.dtype(NAMED, align=True)), None), (NAMED, np.zeros(2, [("name", "U9"),
        ("count", "i8")]), None),
        (NAMED, np.array([("abcde", 1)], [("name", "U9"), ("count", "i8")]), TypeError),
        (NAMED, np.zeros(2), TypeError),
        (NAMED, np.zeros(2, [*NAMED, ("more", "i4")]), TypeError), ("f8", np.zeros(2, NAMED), TypeError),
        ("V4", np.zeros(2, "V2"), TypeError), ("f8", np.array([1], object), TypeError), ("?", np.array([1]), TypeError),
        ("f8", np.zeros((0, 3)), ValueError), ("f8", np.array([], "c16"), TypeError),
        ("u1", array.array("q", [255]), None),
        ("u1", array.array("q", [256]), OverflowError), ("u1", b"ab", TypeError),
        ("u8", collections.deque([2**63, 1]), None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_blocks_follow_the_same_rule(dtype, block, error):
    sink = CollectSink()
    ring = ArrayRing(4, dtype, sink)
    for call in (ring.extend, sink.send):
        if error is None:
            call(block)
        else:
            with pytest.raises(error):
                call(block)
    assert len(ring) == len(sink) == (len(block) if error is None else 0)


def test_popping_into_an_array_changes_nothing_either():
    for make in (ArrayRing, SpscRing):
        for dtype, item, too_small in [("U4", "GOOG", "U2"), ("i8", 2**40, "i4"), ("M8[ns]", 5, "M8[s]")]:
            ring = make(4, dtype)
            ring.push(item)
            with pytest.raises((TypeError, OverflowError)):
                ring.pop_into(np.zeros(2, too_small))
            assert len(ring) == 1 and ring.pop() == np.array(item, dtype)


def test_errors_name_the_value_the_dtype_and_the_field():
    ring = ArrayRing(4, NESTED)
    with pytest.raises(TypeError, match=r"'GOOGL' is longer than the 4 of dtype\('<U4'\)") as caught:
        ring.push((1, ("GOOGL", 1), [1, 2, 3]))
    assert caught.value.__notes__ == ["in the field 'name'", "in the field 'named'"]
    with pytest.raises(OverflowError, match="40000 is out of range for dtype int16: -32768 to 32767"):
        ArrayRing(4, "i2").push(40_000)


def test_a_list_that_contains_itself_is_no_item():
    endless = []
    endless.append(endless)
    for dtype in ("f8", FRAME, "U4"):
        with pytest.raises(ValueError):
            ArrayRing(4, dtype).extend(endless)
