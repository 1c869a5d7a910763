"""Code of others that runs in the middle of a call: sinks, destructors, generators, comparisons."""
import gc
import itertools
import warnings
import weakref

import numpy as np
import pytest

from helpers.kinds import KINDS
from helpers.model import Boom
from spill_ring import (
    ArrayRing,
    BatchSink,
    CollectSink,
    DropSink,
    FnSink,
    ObjectRing,
    TeeSink,
)


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


@pytest.mark.slow
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
