"""Misuse is an exception that says what would be right, and nothing is lost by it."""
import copy
import gc
import itertools
import pickle
import sys
import threading
import warnings
import weakref

import numpy as np
import pytest

from helpers.children import run_child
from helpers.kinds import KINDS
from helpers.model import Boom
from spill_ring import (
    ArrayRing,
    BatchSink,
    CollectSink,
    DropSink,
    FnSink,
    LockedSink,
    ObjectRing,
    ProducerSink,
    ReduceSink,
    Sink,
    SpillRing,
    TeeSink,
)
from spill_ring._core.storage import Storage
from spill_ring.rings.base import Ring

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


@pytest.mark.parametrize("make", RINGS)
@pytest.mark.parametrize("sink", [3, "sink", [], object(), 1.5])
def test_a_sink_that_is_none(make, sink):
    with pytest.raises(TypeError, match="no sink"):
        make(4, sink=sink)


def test_a_class_is_no_sink():
    for make in RINGS:
        with pytest.raises(TypeError, match="instance"):
            make(4, sink=CollectSink)


def test_a_chain_of_unlike_dtypes():
    for sink in (ArrayRing(4, "f4"), ObjectRing(4), ArrayRing(4, ("f8", (1,)))):
        with pytest.raises(TypeError, match="takes"):
            ArrayRing(4, "f8", sink)
    with pytest.raises(TypeError, match="takes"):
        ObjectRing(4, ArrayRing(4, "f8"))
    shared = CollectSink()
    ArrayRing(4, "f8", shared)
    with pytest.raises(TypeError, match="takes"):
        ArrayRing(4, "f4", TeeSink(shared))
    with pytest.raises(TypeError, match="takes"):
        ArrayRing(4, "f4").drain(shared)


class Back(Sink):
    """Sends what it gets to a ring that is set later: a way to close a loop."""

    ring = None

    def send(self, items):
        self.ring.send(items)


@pytest.mark.parametrize("kind", KINDS[:2], ids=["objects", "f8"])
def test_a_chain_that_loops(kind):
    back = Back()
    last = kind.ring(2, back)
    first = kind.ring(2, last)
    back.ring = first
    for n in range(4):
        first.push(kind.item(n))
    with pytest.raises(RuntimeError, match="in use"):
        first.push(kind.item(4))
    with pytest.raises(RuntimeError, match="in use"):
        first.flush()
    assert kind.numbers(first) == [2, 3] and kind.numbers(last) == [0, 1]
    assert first.stats.pushed == 4 and last.stats.pushed == 2
    with pytest.raises(ValueError, match="itself"):
        first.drain(first)
    for ring in (first, last):
        ring.clear()


@pytest.mark.parametrize("kind", KINDS[:2], ids=["objects", "f8"])
def test_a_sink_that_calls_back(kind):
    for call in [
        lambda ring: ring.push(kind.item(9)),
        lambda ring: ring.extend(kind.block([9])),
        lambda ring: ring.pop(),
        lambda ring: ring.pop_many(),
        lambda ring: ring.clear(),
        lambda ring: ring.flush(),
        lambda ring: ring.close(),
        lambda ring: ring[0],
        lambda ring: list(ring),
        lambda ring: ring.latest(1),
        lambda ring: ring.drain(CollectSink()),
        lambda ring: ring.send(kind.block([9])),
    ]:
        ring = kind.ring(2, lambda items: call(ring))
        ring.extend(kind.block([1, 2]))
        with pytest.raises(RuntimeError, match="in use"):
            ring.push(kind.item(3))
        assert kind.numbers(ring) == [1, 2] and ring.stats == (2, 0, 0, 0)
        ring.clear()


def test_what_a_sink_may_ask_its_ring():
    seen = []

    def look(items):
        seen.append((len(ring), ring.is_full, ring.stats.pushed, ring.capacity, repr(ring)))

    ring = ArrayRing(2, sink=look)
    ring.extend([1, 2])
    ring.push(3)
    assert seen == [(2, True, 2, 2, "<ArrayRing: in use, capacity=2>")]


@pytest.mark.parametrize("kind", KINDS[:2], ids=["objects", "f8"])
def test_two_threads_in_one_ring(kind):
    inside, go_on = threading.Event(), threading.Event()

    def slow(items):
        inside.set()
        assert go_on.wait(30)

    ring = kind.ring(1, slow)
    ring.push(kind.item(1))
    thread = threading.Thread(daemon=True, target=ring.push, args=(kind.item(2),))
    thread.start()
    assert inside.wait(30)
    calls = [ring.pop, ring.peek, ring.flush, ring.clear, ring.close]
    calls += [lambda: ring.push(kind.item(3)), lambda: list(ring)]
    for call in calls:
        with pytest.raises(RuntimeError, match="another thread"):
            call()
    assert len(ring) == 1
    go_on.set()
    thread.join()
    assert kind.numbers(ring) == [2] and ring.stats == (2, 0, 1, 0)


def test_many_threads_never_crash(request):
    """Without a lock each call succeeds or raises RuntimeError; what succeeded adds up."""
    interval = sys.getswitchinterval()
    request.addfinalizer(lambda: sys.setswitchinterval(interval))
    sys.setswitchinterval(1e-6)  # or each thread would be through before the next begins
    for kind in KINDS[:2]:
        sink = kind.ring(50)
        ring = kind.ring(5, FnSink(sink.send))
        pushed = []

        def work(seed):
            rng = np.random.default_rng(seed)
            count = 0
            for n in range(500):
                try:
                    if rng.random() < 0.7:
                        ring.push(kind.item(n))
                        count += 1
                    else:
                        ring.pop_many(int(rng.integers(3)))
                except RuntimeError:
                    pass
            pushed.append(count)

        threads = [threading.Thread(daemon=True, target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = ring.stats
        assert stats.pushed == sum(pushed)
        assert stats.pushed == stats.popped + stats.spilled + stats.dropped + len(ring)
        assert sink.stats.pushed == stats.spilled


@pytest.mark.parametrize("kind", KINDS[:2], ids=["objects", "f8"])
def test_use_after_close(kind):
    sink = CollectSink()
    ring = kind.ring(3, sink)
    ring.extend(kind.block(range(5)))
    with ring as same:
        assert same is ring
    ring.close()
    assert kind.numbers(sink.items) == list(range(5)) and sink.closed and ring.closed
    item, block = kind.item(1), kind.block([1])
    calls = [
        lambda: ring.push(item), lambda: ring.extend(block), lambda: ring.extend([item]), lambda: ring.try_push(item),
        lambda: ring.try_extend(block), ring.pop, lambda: ring.pop(None), ring.pop_many, ring.peek, ring.peek_back,
        lambda: ring.latest(1), lambda: ring[0], lambda: ring[:], lambda: iter(ring), lambda: reversed(ring),
        lambda: item in ring, lambda: ring.drain(CollectSink()), ring.flush, ring.clear, lambda: ring.__enter__(),
        lambda: ring.send(item if kind.dtype is None else block),
    ]
    if kind.dtype is not None:
        calls += [
            ring.view, lambda: np.asarray(ring), lambda: np.asarray(ring, copy=False),
            lambda: ring.pop_into(np.zeros(3)), lambda: ring.reserve(1).__enter__(), lambda: ring.commit(1),
        ]
    for call in calls:
        with pytest.raises(ValueError, match="closed"):
            call()
    assert len(ring) == 0 and ring.capacity == 3 and ring.sink is sink and ring.stats == (5, 0, 5, 0)
    assert "closed" in repr(ring)
    with pytest.raises(ValueError, match="closed"):
        kind.ring(3, ring)


def test_close_with_a_sink_that_fails_keeps_the_items():
    fail = True

    def sink(items):
        if fail:
            raise Boom

    ring = ArrayRing(3, sink=sink)
    ring.extend([1, 2, 3])
    with pytest.raises(Boom):
        ring.close()
    assert not ring.closed and list(ring) == [1, 2, 3]
    fail = False
    ring.close()
    assert ring.stats == (3, 0, 3, 0)


def test_a_ring_that_is_dropped_flushes():
    for kind in KINDS[:2]:
        sink = CollectSink()
        ring = kind.ring(3, sink)
        ring.extend(kind.block([1, 2]))
        del ring
        gc.collect()
        assert kind.numbers(sink.items) == [1, 2]


def test_a_ring_that_is_dropped_warns_if_it_cannot_flush():
    def sink(items):
        raise Boom

    ring = ArrayRing(3, sink=sink)
    ring.extend([1, 2])
    with pytest.warns(ResourceWarning, match="last 2 items"):
        del ring
        gc.collect()


@pytest.mark.parametrize("made", [ObjectRing(2), ArrayRing(2), CollectSink(), FnSink(print)])
def test_no_pickle_and_no_copy(made):
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot pickle a live"):
            attempt(made)


def test_half_made_rings():
    for make in (ObjectRing, ArrayRing):
        ring = make.__new__(make)
        calls = [lambda: ring.push(1), lambda: ring.extend([1.0]), lambda: ring.extend(np.zeros(1)), lambda: list(ring)]
        for call in [*calls, ring.pop, ring.flush, ring.clear]:
            with pytest.raises((RuntimeError, TypeError)):
                call()
        assert len(ring) == 0 and "not initialised" in repr(ring)
        ring = make(3)
        with pytest.raises(RuntimeError, match="already"):
            ring.__init__(5)
        assert ring.capacity == 3
    for never in (Ring, Storage):
        with pytest.raises(TypeError):
            never()

    class Forgets(ArrayRing):
        def __init__(self):
            pass

    with pytest.raises((RuntimeError, TypeError)):
        Forgets().push(1.0)


def test_subclasses_take_what_they_like():
    class Named(ArrayRing):
        def __init__(self, name, n):
            super().__init__(n, "i8", lambda items: None)
            self.name = name

    class Equal(Named):  # and so not hashable
        def __eq__(self, other):
            return True

    Equal("x", 2).extend([1])
    ring = Named("x", 2)
    ring.extend([1, 2, 3])
    assert list(ring) == [2, 3] and isinstance(ring, SpillRing)
    with pytest.raises(TypeError, match="derive"):
        type("Sub", (SpillRing,), {})(3)
    with pytest.raises(TypeError):
        CollectSink(3)


@pytest.mark.parametrize("kind", KINDS[:2], ids=["objects", "f8"])
def test_counts_and_indices(kind):
    ring = kind.ring(4)
    ring.extend(kind.block(range(4)))
    for call in (ring.pop_many, ring.latest):
        with pytest.raises(ValueError, match="negative"):
            call(-1)
        with pytest.raises(TypeError):
            call(1.5)
    assert kind.numbers(ring.latest(2**80)) == [0, 1, 2, 3]
    for index in (4, -5, 2**70, -(2**70)):
        with pytest.raises(IndexError):
            ring[index]
    with pytest.raises(TypeError, match="indices"):
        ring["a"]
    assert kind.numbers(ring[2**70 :]) == [] and kind.numbers(ring[: 2**70]) == [0, 1, 2, 3]
    assert kind.numbers(ring.pop_many(2**80)) == [0, 1, 2, 3]


def test_isinstance_and_factory():
    assert isinstance(SpillRing(2), ObjectRing) and isinstance(SpillRing(2, "f8"), ArrayRing)
    for ring in (SpillRing(2), SpillRing(2, "f8"), ObjectRing(2), ArrayRing(2)):
        assert isinstance(ring, SpillRing)
    assert not isinstance(CollectSink(), SpillRing)


def test_reference_cycles_are_collected():
    class Node:
        pass

    def in_a_ring():
        node = Node()
        node.ring = ObjectRing(3)
        node.ring.push(node)
        return node

    def by_its_sink():
        node = Node()
        node.ring = ArrayRing(3, sink=lambda items: node)
        return node

    def through_a_chain():
        node = Node()
        node.ring = ObjectRing(1, ObjectRing(1, FnSink(lambda item: node)))
        node.ring.extend([node, node])
        return node

    def by_collecting():
        node = Node()
        node.ring = ObjectRing(1, TeeSink(CollectSink()))
        node.ring.extend([node, node, node])
        return node

    for make in (in_a_ring, by_its_sink, through_a_chain, by_collecting):
        node = weakref.ref(make())
        gc.collect()
        gc.collect()
        assert node() is None, make


def test_a_ring_that_holds_itself():
    ring = ObjectRing(2)
    ring.push(ring)
    assert repr(ring) == "ObjectRing([ObjectRing(...)], capacity=2)"
    ring.clear()


def test_the_list_of_a_ring_changed_behind_its_back():
    marker = object()
    ring = ObjectRing(4)
    ring.push(marker)
    [held] = [found for found in gc.get_referrers(marker) if isinstance(found, list) and len(found) == 4]
    held.clear()
    for call in (lambda: ring.push(1), ring.pop, lambda: list(ring), lambda: ring.extend([1, 2]), ring.pop_many):
        with pytest.raises(RuntimeError, match="behind its back"):
            call()


def test_destructors_that_push():
    """An item that is let go of may push into the ring that let it go."""

    class Rebirth:
        def __init__(self, ring):
            self.ring = ring

        def __del__(self):
            self.ring.push("born")

    ring = ObjectRing(2)
    ring.push(Rebirth(ring))
    ring.push(1)
    ring.push(2)
    assert list(ring) == [2, "born"]


def test_extend_with_itself():
    for kind in KINDS[:2]:
        ring = kind.ring(5)
        ring.extend(kind.block([1, 2, 3]))
        ring.extend(ring)
        assert kind.numbers(ring) == [2, 3, 1, 2, 3]


def test_extend_with_a_view_of_its_own_memory(memory):
    sink = CollectSink()
    ring = ArrayRing(300, "i8", sink)
    expected = []
    for n in range(50):
        ring.extend(np.arange(n * 100, n * 100 + 77))
        view = ring.view()[n % 7 :: 1][:200]
        expected = view.tolist()
        ring.extend(view)
        assert ring.latest(len(expected)).tolist() == expected
    assert ring.view().base.kind == memory


def test_a_generator_that_raises():
    def numbers():
        yield 1
        yield 2
        raise Boom

    for kind_ring in (ObjectRing(5), ArrayRing(5)):
        with pytest.raises(Boom):
            kind_ring.extend(numbers())
        assert list(kind_ring) == [1, 2]
        endless = itertools.count(3)
        assert kind_ring.try_extend(endless) == 3 and next(endless) == 6


def test_a_list_that_changes_while_a_sink_runs():
    items = [object() for _ in range(100)]
    ring = ObjectRing(10, lambda item: items.clear())
    ring.extend(items)
    assert len(ring) == 10 and ring.stats == (100, 0, 90, 0)


def test_comparing_items_may_change_the_ring():
    class Nasty:
        def __eq__(self, other):
            ring.clear()
            return False

    ring = ObjectRing(4)
    ring.extend([Nasty(), 1, 2])
    with pytest.raises(RuntimeError, match="changed"):
        _ = 5 in ring


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


def test_initialising_while_initialising():
    """What initialisation asks of its arguments may run Python that initialises the same object."""

    class Evil:
        def __init__(self, made, inner, value):
            self.made, self.inner, self.value = made, inner, value

        def __index__(self):
            self.made.__init__(*self.inner)
            return self.value

    for make in (ObjectRing, ArrayRing):
        ring = make.__new__(make)
        with pytest.raises(RuntimeError, match="already"):
            ring.__init__(Evil(ring, (4,), 10**6))
        assert ring.capacity == 4
        ring.extend(np.arange(100.0))
        assert list(ring) == [96, 97, 98, 99]
    batch = BatchSink.__new__(BatchSink)
    with pytest.raises(RuntimeError, match="already"):
        batch.__init__(Evil(batch, (2, CollectSink()), 10**6), CollectSink())
    ArrayRing(1, sink=batch).extend(np.arange(100.0))


def test_a_failed_init_leaves_nothing_behind():
    ring = ArrayRing.__new__(ArrayRing)
    sink = ArrayRing(10, "i2")
    with pytest.raises(TypeError, match="takes"):
        ring.__init__(4, "f8", sink)
    fresh = CollectSink()
    with pytest.raises(MemoryError):
        ring.__init__(2**60, "f8", fresh)
    ArrayRing(4, "i4", fresh)  # which nothing has bound
    ring.__init__(4, "f8")
    ring.extend(np.zeros(100))
    assert ring.sink is None and ring.stats.dropped == 96 and len(sink) == 0
    with pytest.raises(RuntimeError, match="never initialised"):
        ArrayRing.__new__(ArrayRing).send(np.zeros(3))


def test_chains_cannot_loop_or_grow_without_end():
    tee, batch = TeeSink.__new__(TeeSink), BatchSink.__new__(BatchSink)
    for loop in (lambda: tee.__init__(tee), lambda: batch.__init__(2, batch), lambda: tee.__init__(batch)):
        with pytest.raises(RuntimeError, match="never initialised"):
            loop()
    sink = CollectSink()
    with pytest.raises(RecursionError, match="sinks"):
        while True:
            before, sink = sink, BatchSink(1, sink)
    ring = ArrayRing(1, sink=before)
    ring.extend(range(10))
    ring.close()


def test_a_factory_that_leads_back_or_on_without_end():
    """The line behind a `ProducerSink` is known only once it is made."""
    assert run_child("misuse/factories_without_end", options=["-W", "ignore"]) == "through\n"


def test_half_made_iterators_and_sinks():
    kind = type(iter(ArrayRing(3)))
    assert list(kind.__new__(kind)) == []
    assert Storage.__new__(Storage).kind == "heap"
    for make in (BatchSink, ReduceSink, TeeSink, LockedSink, ProducerSink):
        with pytest.raises(RuntimeError, match="never initialised"):
            ArrayRing(3, sink=make.__new__(make))


def test_destructors_that_push_during_bulk_calls():
    class Rebirth:
        def __init__(self, ring):
            self.ring = ring

        def __del__(self):
            self.ring.push("born")

    for call in (lambda ring: ring.extend([1, 2, 3]), lambda ring: ring.clear(), lambda ring: ring.drain(DropSink())):
        ring = ObjectRing(3)
        ring.push(Rebirth(ring))
        call(ring)
        gc.collect()
        assert "born" in ring and ring.stats.pushed >= 2


def test_items_that_lists_lose_while_a_sink_runs():
    marker = object()

    def find_and_clear(item):
        for found in gc.get_referrers(marker):
            if isinstance(found, list) and len(found) == 4:
                found.clear()

    for call in (lambda ring: ring.push(object()), lambda ring: ring.flush()):
        ring = ObjectRing(4, find_and_clear)
        ring.extend([object(), marker, object(), object()])
        with pytest.raises(RuntimeError, match="behind its back"):
            call(ring)
        with warnings.catch_warnings(action="ignore"):  # of what may be lost now
            del ring
            gc.collect()


def test_try_calls_never_evict_whatever_converting_does():
    ring = ObjectRing(3)

    def numbers():
        for n in range(3):
            ring.push(-n)
            yield n

    ring.try_extend(numbers())
    assert ring.stats.dropped == 0
    array_ring = ArrayRing(2)

    class Pushes:
        def __array__(self, dtype=None, copy=None):
            array_ring.extend([1, 2])
            return np.array(5.0)

    assert array_ring.try_push(Pushes()) is False
    assert list(array_ring) == [1, 2] and array_ring.stats.dropped == 0


def test_a_ring_sent_a_view_of_itself():
    ring = ArrayRing(1000, "i8")
    ring.extend(range(1000))
    ring.send(ring.view()[3:])
    assert ring.view().tolist() == [0 + 997, 998, 999, *range(3, 1000)]


def test_rings_that_are_left_open_at_exit(tmp_path):
    run_child("misuse/exits", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"abc"


@pytest.mark.parametrize("last_sink", [None, DropSink, lambda: FnSink(lambda item: None)])
def test_a_chain_lets_go_of_what_it_drops(last_sink):
    class Item:
        pass

    last = ObjectRing(3, last_sink and last_sink())
    first = ObjectRing(2, last)
    alive = []

    def make():
        item = Item()
        alive.append(weakref.ref(item))
        return item

    for _ in range(100):
        first.push(make())
    assert sum(item() is not None for item in alive) == 5
    first.extend([make() for _ in range(50)])
    assert sum(item() is not None for item in alive) == 5
    first.flush()
    assert sum(item() is not None for item in alive) == (3 if last_sink is None else 0)
    last.clear()
    assert not any(item() is not None for item in alive)
