"""SpscRing: destructors, garbage, rings that are dropped or alive at the end, and forks."""
import gc
import os
import sys
import threading
import time
import weakref
from queue import Full

import numpy as np
import pytest

from helpers.children import run_child
from helpers.model import Boom
from helpers.spsc import OVERFLOWS
from spill_ring import (
    CollectSink,
    DropSink,
    MpscRing,
    ObjectRing,
    SpscRing,
)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")


# -- destructors and garbage -----------------------------------------------------------------------------------


class Acts:
    """Does something when it is let go of."""

    def __init__(self, act):
        self.act = act

    def __del__(self):
        self.act()


def objects_out_calls():
    return [
        lambda ring: ring.extend([1, 2, 3]), lambda ring: ring.clear(), lambda ring: ring.drain(DropSink()),
        lambda ring: ring.pop() and None, lambda ring: ring.pop_many() and None, lambda ring: ring.flush(),
        lambda ring: ring.push(1), read_all,
    ]


def read_all(ring):
    with ring.read():
        pass


@pytest.mark.slow
@pytest.mark.parametrize("call", range(len(objects_out_calls())))
@pytest.mark.parametrize("sink", [None, lambda item: None])
def test_destructors_that_use_the_ring(call, sink):
    def attempt(act):
        ring = SpscRing(3, sink=sink)
        done = []
        ring.extend([Acts(lambda: done.append(act(ring))), 1, 2])
        objects_out_calls()[call](ring)
        stats = ring.stats
        assert sum(stats[1:]) + len(ring) == stats.pushed
        assert done or (call == 5 and sink is None)
        ring.clear()

    for act in (lambda ring: ring.push("born"), SpscRing.pop_many, SpscRing.clear, SpscRing.close,
                lambda ring: ring.extend(["born", "too"]), SpscRing.flush):
        attempt(act)
    gc.collect()


def test_destructors_that_push_into_a_chain():
    for first in (ObjectRing, SpscRing):
        last = SpscRing(2)
        ring = first(1, sink=last)
        ring.push(Acts(lambda: last.push("born")))
        for n in range(5):
            ring.push(n)
        assert last.stats.pushed == 6 and last.stats.dropped == 4 and last.pop_many() == [2, 3]


def test_resurrection():
    saved = []

    class Phoenix(SpscRing):
        def __del__(self):
            saved.append(self)

    class Item:
        def __del__(self):
            saved.append(self)

    ring = Phoenix(2)
    ring.extend([Item(), 1])
    del ring
    ring = saved.pop()
    ring.push(2)
    assert len(ring) == 2 and len(saved) == 1
    del ring
    saved.clear()


def test_generators_that_push_into_the_ring_they_extend():
    ring = SpscRing(3, sink=(sink := CollectSink()))

    def items():
        for n in range(4):
            ring.push(-n)
            yield n

    ring.extend(items())
    assert [*sink.items, *ring.pop_many()] == [0, 0, -1, 1, -2, 2, -3, 3]
    assert ring.try_extend(items()) <= 3 and ring.stats.dropped == 0


def test_lists_that_change_meanwhile():
    ring = SpscRing(2, sink=lambda item: items.clear())
    items = [1, 2, 3, 4, 5]
    ring.extend(items)
    assert ring.pop_many() == [4, 5]


@pytest.mark.slow
def test_garbage():
    class Node:
        pass

    def through_items():
        node = Node()
        node.ring = SpscRing(4)
        node.ring.extend([node, node])
        return node

    def through_itself():
        node = Node()
        ring = SpscRing(2)
        ring.extend([ring, node])
        return node

    def through_a_sink():
        node = Node()
        node.ring = SpscRing(1, sink=lambda item: node)
        node.ring.extend([1, 2])
        return node

    def through_two_rings():
        node = Node()
        a, b = SpscRing(2), SpscRing(2)
        a.extend([b, node])
        b.push(a)
        return node

    def through_an_overridden_clear():
        class Keeps(SpscRing):
            def clear(self):
                pass

        node = Node()
        ring = Keeps(2)
        ring.extend([ring, node])
        return node

    def through_held_items():
        node = Node()
        ring = SpscRing(2)
        ring.extend([ring, node])
        try:
            with ring.read():
                raise Boom
        except Boom:
            pass
        return node

    for make in (through_items, through_itself, through_a_sink, through_two_rings, through_an_overridden_clear,
                 through_held_items):
        ref = weakref.ref(make())
        gc.collect()
        assert ref() is None, make.__name__


@pytest.mark.slow
def test_deep_nesting():
    for cycle in (False, True):
        first = ring = SpscRing(1)
        for _ in range(50_000):
            outer = SpscRing(1)
            outer.push(ring)
            ring = outer
        if cycle:
            first.push(ring)
        del first, ring, outer
        gc.collect()


def test_deep_chains():
    for dtype in (None, "f8"):
        rings = [SpscRing(1, dtype, (sink := CollectSink()))]
        for _ in range(200):
            rings.append(SpscRing(1, dtype, rings[-1]))
        rings[-1].extend(range(1000))
        assert len(sink) == 1000 - 201
        rings.pop().close()
        for ring in reversed(rings):
            ring.flush()
        del rings, ring
        assert list(sink.items) == list(range(1000)) and sink.closed


@pytest.mark.slow
@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_references(overflow):
    """Each path gives back what it took."""
    class Item:
        pass

    def failing(item):
        if failing.on:
            raise Boom

    def attempt(call):
        try:
            call()
        except (Boom, Full, IndexError):
            pass

    def held(ring):
        with ring.read(2):
            raise Boom

    item = Item()
    items = [item] * 3
    start = sys.getrefcount(item)
    for sink in (None, DropSink(), lambda item: None, failing):
        failing.on = True
        ring = SpscRing(3, sink=sink, overflow=overflow)
        wait = {"timeout": 0} if overflow == "block" else {}
        for _ in range(20):
            for call in (
                lambda: ring.push(item, **wait), lambda: ring.extend(items * 2, **wait), lambda: ring.pop(),
                lambda: ring.try_push(item), lambda: ring.try_extend(items), lambda: ring.pop_many(2),
                lambda: ring.extend((item for _ in range(3)), **wait), lambda: ring.drain(failing),
                lambda: ring.flush(), lambda: read_all(ring), lambda: held(ring),
                lambda: ring.clear(),
            ):
                attempt(call)
            gc.collect(0)
        failing.on = False
        ring = None
        gc.collect()
        assert sys.getrefcount(item) == start
    ring = SpscRing(3, overflow=overflow)
    ring.extend(items)
    ring.close()
    ring = None
    assert sys.getrefcount(item) == start


def test_references_of_what_was_refused_and_dropped():
    item = object()
    start = sys.getrefcount(item)

    def sink(taken):
        if refuses.pop():
            ring.pop()
            raise Boom

    for _ in range(5):
        refuses = [False, False, True]
        ring = SpscRing(3, sink=sink)
        ring.extend([item] * 3)
        with pytest.raises(Boom):
            ring.push(item)
        ring = None
    gc.collect()
    assert sys.getrefcount(item) == start


@pytest.mark.not_sanitized
@pytest.mark.thread_unsafe(reason="counts the memory of the process")
@pytest.mark.parametrize("dtype", [None, "f8"])
def test_bounded_memory(dtype):
    import tracemalloc

    ring = SpscRing(100, dtype, lambda items: None)
    block = [1.5] * 1000 if dtype is None else np.ones(1000)

    def work():
        for _ in range(100):
            ring.extend(block)
            ring.push(1.0)
            ring.pop()
            with ring.read(10):
                pass
            ring.wait(1)

    work()
    tracemalloc.start()
    work()
    first = tracemalloc.take_snapshot()
    for _ in range(5):
        work()
    last = tracemalloc.take_snapshot()
    tracemalloc.stop()
    assert sum(s.size_diff for s in last.compare_to(first, "filename")) < 20_000


# -- dropped, or alive at the end ------------------------------------------------------------------------------


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("dtype", [None, "f8"])
def test_dropped(overflow, closed, dtype):
    sink = CollectSink()
    ring = SpscRing(4, dtype, sink, overflow=overflow)
    ring.extend([1, 2, 3])
    if closed:
        ring.close()
    with pytest.raises(Boom), ring.read(2):
        raise Boom
    del ring
    assert list(sink.items) == [1, 2, 3] and sink.closed == closed


@pytest.mark.parametrize("closed", [False, True])
def test_dropped_with_a_sink_that_fails(closed):
    def sink(item):
        raise OSError("no")

    ring = SpscRing(4, sink=sink)
    ring.extend([1, 2, 3])
    if closed:
        ring.close()
    with pytest.warns(ResourceWarning, match="last 3 items"):
        ring = None
        gc.collect()


@pytest.mark.slow
@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("how", ["module", "daemon", "waiting", "closed"])
def test_interpreter_exit(overflow, how, tmp_path):
    run_child("spsc/exits", tmp_path / "out", overflow, how)
    assert (tmp_path / "out").read_bytes() == b"abc"


@pytest.mark.slow
def test_a_consumer_that_waits_at_exit():
    for wait in ("ring.pop(timeout=None)", "ring.wait(2)", "list(ring.blocks())"):
        run_child("spsc/exits_while_a_consumer_waits", wait)


@pytest.mark.parametrize("make", [SpscRing, lambda *args: MpscRing(*args, producers=2)])
@pytest.mark.parametrize("dtype", [None, "i8"])
def test_a_drain_waits_for_the_first_item(make, dtype):
    ring = make(8, dtype)
    producer = ring.producers[1] if isinstance(ring, MpscRing) else ring
    target = CollectSink()
    assert ring.drain(target) == 0 and ring.drain(target, timeout=0.01) == 0
    thread = threading.Thread(target=lambda: (time.sleep(0.02), producer.extend([1, 2])), daemon=True)
    thread.start()
    assert ring.drain(target, timeout=None) == 2 and list(target.items) == [1, 2]
    thread.join()  # it has pushed, but may not have left yet
    ring.close()
    assert ring.drain(target, timeout=None) == 0
    with pytest.raises(ValueError, match="timeout"):
        ring.drain(target, timeout=-1)


# -- fork ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("overflow", ["spill", "block"])
def test_a_fork_beside_a_producer(overflow):
    """What it pushes just then is in the child as a whole, or not at all."""
    run_child("spsc/forks_beside_a_producer", overflow)


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("dtype", ["None", "'i8'"])
def test_fork(dtype):
    """A consumer waits, or reads, and a producer waits, in threads that the child hasn't got."""
    run_child("spsc/forks", dtype)


@pytest.mark.slow
@needs_fork
def test_a_fork_inside_of_a_sink():
    run_child("spsc/forks_inside_of_a_sink")


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("dtype", ["None", "'i8'"])
@pytest.mark.parametrize("side", ["push", "drain", "a handler"])
def test_a_fork_inside_of_a_side_leaves_it_in_use(dtype, side):
    """The child is in the middle of it too; the other side is free there."""
    run_child("spsc/forks_inside_of_a_side", side, dtype)
