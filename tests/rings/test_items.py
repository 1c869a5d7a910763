"""Items that fit, items that are refused, and what becomes of them."""
import gc

import numpy as np
import pytest

from spill_ring import (
    ArrayRing,
    CollectSink,
    ObjectRing,
    SpillRing,
)

RINGS = [ObjectRing, ArrayRing, SpillRing]


@pytest.mark.parametrize("make", RINGS)
@pytest.mark.parametrize(
    "capacity, error",
    [(0, ValueError), (-1, ValueError), (2**62, MemoryError), (2**70, MemoryError), ("4", TypeError), (3.5, TypeError),
     (None, TypeError), (b"4", TypeError), (np.float64(4), TypeError)],
)
def test_capacity(make, capacity, error):
    with pytest.raises(error):
        make(capacity)


def test_capacities_that_will_do():
    for capacity in (1, True, np.int8(3), 2**20 + 1):
        assert SpillRing(capacity).capacity == capacity
        assert ArrayRing(capacity).capacity == capacity


@pytest.mark.parametrize(
    "dtype, error, match",
    [
        (object, TypeError, "ObjectRing"),
        ([("a", "f8"), ("b", object)], TypeError, "ObjectRing"),
        (np.dtypes.StringDType(), TypeError, "ObjectRing"),
        ("S", ValueError, "S16"),
        (str, ValueError, "U16"),
        ("V0", ValueError, "no size"),
        ([], ValueError, "no size"),
        (("f8", (0,)), ValueError, "no size"),
        ("nonsense", TypeError, "nonsense"),
        (3, TypeError, "3"),
    ],
)
def test_dtype(dtype, error, match):
    with pytest.raises(error, match=match):
        ArrayRing(4, dtype)


@pytest.mark.parametrize(
    "dtype, items, error",
    [
        ("i4", [1.5], TypeError),
        ("i4", np.array([1.0]), TypeError),
        ("u1", np.array([1], "i8"), TypeError),
        ("f8", [1j], TypeError),
        ("f8", ["a"], TypeError),
        ("f8", [None], TypeError),
        ("f8", [b"a"], TypeError),
        ("i4", ["1"], TypeError),
        ("i1", [128], OverflowError),
        ("i1", [-129], OverflowError),
        ("u1", [-1], OverflowError),
        ("u1", [256], OverflowError),
        ("i4", np.array([2**31]), OverflowError),
        ("i8", [2**63], OverflowError),
        ("i8", [2**70], OverflowError),
        ("i8", [-1, 2**63], OverflowError),
        ("u8", [2**64], OverflowError),
        ("i8", np.array([2**63], "u8"), OverflowError),
        ("f8", [[1.0, 2.0]], ValueError),
        ("f8", np.zeros((2, 2)), ValueError),
        ("f8", [[1.0], [1.0, 2.0]], ValueError),
        (("f4", (3,)), [[1, 2]], ValueError),
        (("f4", (3,)), [1, 2, 3], ValueError),
        ([("a", "i4"), ("b", "f8")], [(1, 2, 3)], (TypeError, ValueError)),
        ("M8[s]", ["soon"], (TypeError, ValueError)),
        ("f8", 5.0, TypeError),
        ("f8", None, TypeError),
    ],
)
def test_items_that_do_not_fit(dtype, items, error):
    sink = CollectSink()
    ring = ArrayRing(2, dtype, sink)
    ring.extend(np.zeros(2, dtype))
    for call in (ring.extend, ring.try_extend):
        with pytest.raises(error):
            call(items)
    if isinstance(items, (list, np.ndarray)) and len(items) == 1:
        with pytest.raises(error):
            ring.push(items[0])
    assert ring.stats == (2, 0, 0, 0) and len(sink) == 0


def test_items_that_numpy_would_cast():
    for dtype, items in [
        ("f8", [1, True, np.float32(2), np.int64(3)]),
        ("f4", np.arange(4.0)),
        ("i4", np.arange(4)),
        ("i4", np.array([True, False])),
        ("c8", [1.0, 2]),
        ("u1", [0, 255]),
        ("u8", [2**64 - 1]),
        ("i8", (1, 2)),
        ("i8", range(5)),
        ("i8", np.arange(10)[::2]),
        ("i8", np.arange(4).astype(">i8")),
        ("i8", memoryview(np.arange(4))),
        ("u1", b"abc"),
        ("u1", bytearray(b"abc")),
        ("f8", np.ma.array([1.0, 2.0])),
        ("f8", np.arange(3.0).view(np.recarray)),
        ("M8[us]", [np.datetime64("2026-01-01"), np.datetime64("2026-01-02T03")]),
        ("f8", []),
        ("i8", np.array([], "i8")),
        (("i2", (2,)), [[1, 2], [3, 4]]),
        (("i2", (2,)), []),
        ("S3", [b"abc", b"d"]),
    ]:
        expected = np.frombuffer(items, "u1") if isinstance(items, (bytes, bytearray)) else np.array(items)
        ring = ArrayRing(8, dtype)
        ring.extend(expected if isinstance(items, (bytes, bytearray)) else items)
        if len(expected):
            assert np.array_equal(ring.view(), expected.astype(np.dtype(dtype).base)), (dtype, items)
        assert len(ring) == len(expected)


def test_times_and_records_from_python_objects():
    import datetime

    ring = ArrayRing(4, "M8[s]")
    ring.push(datetime.datetime(2026, 1, 1))
    ring.extend([datetime.datetime(2026, 1, 2), "2026-01-03"])
    assert ring[0] == np.datetime64("2026-01-01") and ring[2] == np.datetime64("2026-01-03")
    records = ArrayRing(4, [("a", "i4"), ("b", "f8")])
    records.push((1, 2.5))
    records.push(records.peek())
    assert records[1]["b"] == 2.5 and (1, 2.5) in records and (2, 2.5) not in records and "x" not in records


def test_pop_into_refuses():
    ring = ArrayRing(4, "f8")
    ring.extend([1, 2, 3])
    locked = np.zeros(4)
    locked.flags.writeable = False
    for out, error, match in [
        (locked, ValueError, "read-only"),
        (memoryview(b"12345678"), ValueError, "read-only"),
        (b"12345678", TypeError, "buffer"),
        (np.zeros(0), ValueError, "too small"),
        (np.zeros((2, 2)), ValueError, "shape"),
        (np.zeros(()), ValueError, "shape"),
        (np.zeros(4, "i4"), TypeError, "cast"),
        ([0.0, 0.0], TypeError, "buffer"),
        (None, TypeError, "buffer"),
    ]:
        with pytest.raises(error, match=match):
            ring.pop_into(out)
    assert list(ring) == [1, 2, 3]
    out = np.zeros(2, "f4")
    assert ring.pop_into(out) == 2 and out.tolist() == [1, 2]
    import array

    assert ring.pop_into(array.array("d", [0.0])) == 1 and ring.is_empty


def test_no_array_of_an_uncopyable_kind():
    ring = ArrayRing(4, "f8")
    ring.extend([1, 2])
    assert np.asarray(ring, dtype="f4").dtype == "f4"
    assert np.array(ring, copy=True).tolist() == [1, 2]
    with pytest.raises(ValueError, match="copy"):
        np.asarray(ring, dtype="f4", copy=False)
    with pytest.raises(ValueError):
        ring.view()[0] = 5


@pytest.mark.parametrize("dtype, item", [([("a", "i4"), ("b", "f8")], (1, 2.5)), ("V5", b"abcde"), ("S3", b"abc")])
def test_an_item_is_a_copy_whatever_becomes_of_the_ring(dtype, item):
    ring = ArrayRing(1024, dtype)  # fills whole pages, so that the next push writes over the oldest
    ring.extend(np.array([item] * 1024, dtype))
    held = [ring.peek(), ring.peek_back(), ring[5], next(iter(ring)), next(reversed(ring)), ring.pop()]
    expected = np.array([item], dtype)[0].tobytes()
    ring.extend(np.zeros(1024, dtype))
    assert [one.tobytes() if hasattr(one, "tobytes") else one for one in held] == [expected] * 6
    del ring
    gc.collect()
    assert [one.tobytes() for one in held] == [expected] * 6


def test_arrays_of_arrays():
    nested = np.dtype((np.dtype(("i2", (3, 2))), (2,)))
    ring = ArrayRing(4, nested)
    ring.extend(np.arange(24).reshape(2, 2, 3, 2))
    assert ring.pop().tolist() == np.arange(12).reshape(2, 3, 2).tolist()
    records = ArrayRing(4, [("a", "i4"), ("v", "f4", (3,))])
    records.extend([(1, [1, 2, 3]), (2, [4, 5, 6])])
    records.push((3, [7, 8, 9]))
    assert records.view()["v"].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    with pytest.raises(TypeError, match="tuple"):
        records.push(5)


def test_contains_means_one_item():
    frames = ArrayRing(4, ("f4", (2,)))
    frames.extend([[1, 2], [3, 4]])
    assert [3, 4] in frames
    for none in ([1, 4], [4, 3], 1, [1], [[1, 2]], "x", None):
        assert none not in frames
    ring = ArrayRing(4)
    ring.extend([1, 2])
    assert 2 in ring and 2.0 in ring and [2.0] not in ring and [9, 2.0] not in ring


def test_large_ints_into_floats():
    ring = ArrayRing(4)
    ring.push(2**70)
    ring.extend([2**80, 1])
    assert list(ring) == [2.0**70, 2.0**80, 1]
    with pytest.raises(OverflowError):
        ring.push(2**2000)
