"""What the rings for one thread refuse, and what they survive."""
import copy
import gc
import pickle
import sys
import threading

import numpy as np
import pytest

from helpers.children import run_child
from helpers.kinds import KINDS
from helpers.model import Boom
from spill_ring import (
    ArrayRing,
    BatchSink,
    CollectSink,
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
    with pytest.raises(TypeError if kind.dtype is None else IndexError, match="indices"):
        ring["a"]  # as a list and as numpy say it
    assert kind.numbers(ring[2**70 :]) == [] and kind.numbers(ring[: 2**70]) == [0, 1, 2, 3]
    assert kind.numbers(ring.pop_many(2**80)) == [0, 1, 2, 3]


def test_isinstance_and_factory():
    assert isinstance(SpillRing(2), ObjectRing) and isinstance(SpillRing(2, "f8"), ArrayRing)
    for ring in (SpillRing(2), SpillRing(2, "f8"), ObjectRing(2), ArrayRing(2)):
        assert isinstance(ring, SpillRing)
    assert not isinstance(CollectSink(), SpillRing)


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


def test_rings_that_are_left_open_at_exit(tmp_path):
    run_child("misuse/exits", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"abc"
