"""MpscRing: several producers, and what it refuses."""
import asyncio
import os
import pickle
import random
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest

from helpers.children import complete_child, run_child
from helpers.kinds import KINDS
from helpers.model import Boom
from spill_ring import ArrayRing, CollectSink, DropSink, LockedSink, MpscRing, ObjectRing, ProducerSink, Sink, SpscRing

EACH = 1000  # producer i pushes the numbers from i * EACH on


def push_all(producer, kind, numbers, seed):
    """In every way there is, with stalls."""
    choose = random.Random(seed)
    while numbers:
        count = choose.randint(1, min(40, len(numbers)))
        block = kind.block(numbers[:count])
        way = choose.randrange(6)
        if way == 0:
            count = 1
            producer.push(block[0])
        elif way == 1:
            count = producer.try_extend(block)
        elif way == 2:
            count = 1 if producer.try_push(block[0]) else 0
        elif way == 3 and kind.dtype is not None:
            count = min(count, producer.capacity)
            with producer.reserve(count) as room:
                room[:] = block[:count]
        elif way == 4:
            producer.extend(iter(block))
        else:
            producer.extend(block)
        numbers = numbers[count:]
        if choose.random() < 0.05:
            time.sleep(0.001)


class Fickle(Sink):
    """Takes part of what it is sent, and raises, at times."""

    def __init__(self, kind, seed):
        self.kind, self.got, self.choose = kind, [], random.Random(seed)

    def send(self, items):
        items = [items] if self.kind.dtype is None else items
        taken = self.choose.randint(0, len(items)) if self.choose.random() < 0.3 else len(items)
        self.got += self.kind.numbers(items[:taken])
        if taken < len(items):
            raise Boom.after(taken)


def take_some(ring, kind, choose, fickle):
    way = choose.randrange(5)
    if way == 0:
        item = ring.pop(None, timeout=0.001)
        return [] if item is None else [kind.number(item)]
    if way == 1:
        return kind.numbers(ring.pop_many(choose.choice([None, 1, 7, 100])))
    if way == 2 and kind.dtype is not None:
        out = kind.block(range(20))
        return kind.numbers(out[: ring.pop_into(out)])
    if way == 3:
        before = len(fickle.got)
        try:
            ring.drain(fickle)
        except Boom:
            pass
        return fickle.got[before:]
    ring.wait(choose.randint(1, 3), timeout=0.002)
    return []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("producers, capacity", [(1, 3), (3, 16), (5, 64)])
def test_every_item_is_in_one_place(kind, producers, capacity):
    sinks = [CollectSink() for _ in range(producers)]
    ring = MpscRing(capacity, kind.dtype, ProducerSink(sinks.__getitem__), producers=producers)
    threads = [
        threading.Thread(
            daemon=True, target=push_all, args=(ring.producers[i], kind, range(i * EACH, i * EACH + 300), i)
        )
        for i in range(producers)
    ]
    choose, fickle, got = random.Random(capacity), Fickle(kind, 1), []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        got += take_some(ring, kind, choose, fickle)
    for thread in threads:
        thread.join()
    got += kind.numbers(ring.pop_many())
    stats = ring.stats
    assert stats.pushed == 300 * producers == stats.popped + stats.spilled and stats.dropped == 0 and len(ring) == 0
    assert stats.spilled == len(fickle.got) + sum(map(len, sinks))
    for i in range(producers):
        spilled = kind.numbers(sinks[i].items)
        popped = [n for n in got if n // EACH == i]
        assert spilled == sorted(spilled) and popped == sorted(popped)
        assert sorted(spilled + popped) == list(range(i * EACH, i * EACH + 300))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_threads_push_are_joined_and_one_drain_merges(kind):
    ring = MpscRing(100, kind.dtype, producers=4)
    threads = [
        threading.Thread(
            daemon=True, target=ring.producers[i].extend, args=(kind.block(range(i * EACH, i * EACH + 150)),)
        )
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ring) == 400 and ring.stats == (600, 0, 0, 200)
    sink = CollectSink()
    assert ring.drain(sink) == 400 and ring.is_empty and not ring
    expected = [n for i in range(4) for n in range(i * EACH + 50, i * EACH + 150)]
    assert kind.numbers(sink.items) == expected and ring.stats == (600, 0, 400, 200)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_comes_out_is_what_an_spsc_ring_gives(kind):
    ring, alone = MpscRing(4, kind.dtype, producers=2), SpscRing(4, kind.dtype)
    for producer in (ring.producers[1], alone):
        producer.extend(kind.block(range(4)))
    assert ring.dtype == alone.dtype and ring.capacity == 4
    assert repr(ring.pop()) == repr(alone.pop())
    ours, theirs = ring.pop_many(2), alone.pop_many(2)
    assert repr(ours) == repr(theirs) and type(ours) is type(theirs)
    if kind.dtype is not None:
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape and ours.flags.owndata


@pytest.mark.parametrize("take", [lambda ring: ring.pop(), lambda ring: ring.pop_many(1)[0]], ids=["pop", "pop_many"])
def test_nobody_is_passed_over(take):
    ring = MpscRing(100, "i8", producers=5)
    for i in (0, 1, 3, 4):
        ring.producers[i].extend(range(i * EACH, i * EACH + 100))
    turns = [int(take(ring)) // EACH for _ in range(100)]
    for i in (0, 1, 3, 4):
        assert i in turns[:5] and all(i in turns[k : k + 5] for k in range(95))


@pytest.mark.parametrize("dtype", ["i8", None])
def test_shares_are_fair(dtype):
    """Whoever has as much gets its share of a block, whatever the others have."""
    ring = MpscRing(1000, dtype, producers=4)
    for i, count in enumerate([1000, 3, 0, 1000]):
        ring.producers[i].extend([i] * count)
    for _ in range(20):
        ring.producers[0].extend([0] * 50)  # one who never ends
        counts = Counter(int(i) for i in ring.pop_many(43))
        assert counts.total() == 43 and counts[0] >= 10 and counts[3] >= 10


def test_a_shared_sink_gets_a_lock():
    sink = CollectSink()  # refuses a second thread
    ring = MpscRing(8, "i8", sink, producers=4)
    assert ring.sink is sink and all(isinstance(producer.sink, LockedSink) for producer in ring.producers)

    def produce(i):
        for n in range(0, 300, 3):
            ring.producers[i].extend(range(i * EACH + n, i * EACH + n + 3))

    threads = [threading.Thread(daemon=True, target=produce, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ring.flush() == 32 and ring.stats == (1200, 0, 1200, 0)
    for i in range(4):
        assert sink.items[sink.items // EACH == i].tolist() == list(range(i * EACH, i * EACH + 300))
    ring.close()
    assert sink.closed and ring.ended


class Noting(DropSink):
    def send(self, items):
        """Not for two threads at a time."""


@pytest.mark.parametrize(
    "make, inner",
    [(CollectSink, LockedSink), (lambda: lambda items: None, LockedSink), (lambda: ArrayRing(4, "i8"), LockedSink),
     (lambda: LockedSink(CollectSink()), LockedSink), (DropSink, DropSink), (Noting, LockedSink),
     (lambda: None, type(None))],
)
def test_sinks(make, inner):
    sink = make()
    ring = MpscRing(2, "i8", sink, producers=2)
    assert ring.sink is sink and type(ring.producers[0].sink) is inner
    assert ring.producers[0].sink is ring.producers[1].sink
    for producer in ring.producers:
        producer.extend(range(5))
    assert len(ring) == 4 and ring.stats.spilled + ring.stats.dropped == 6
    assert ring.stats.dropped == (6 if inner in (DropSink, type(None)) else 0)


def test_each_producer_has_a_sink_of_its_own_which_its_end_closes():
    sinks = ProducerSink(lambda i: CollectSink())
    ring = MpscRing(2, "i8", sinks, producers=3)
    for i in range(3):
        ring.producers[i].extend(range(10 * i, 10 * i + 5))
    ring.pop_many()
    ring.producers[1].close()
    assert [sinks.producer(i).closed for i in range(3)] == [False, True, False]
    ring.close()
    assert [sinks.producer(i).closed for i in range(3)] == [True] * 3
    assert [sinks.producer(i).items.tolist() for i in range(3)] == [[0, 1, 2], [10, 11, 12], [20, 21, 22]]


def test_a_producer_sink_that_is_closed_leaves_the_rings_theirs():
    sinks = ProducerSink(lambda i: CollectSink())
    unused = sinks.producer(9)
    ring = MpscRing(1, "i8", sinks, producers=2)
    sinks.close()
    assert unused.closed
    ring.producers[1].extend([1, 2])
    assert len(ring) == 1 and ring.stats.spilled == 1
    ring.clear()
    ring.close()


def test_a_factory_that_fails():
    made = {}

    def factory(i):
        if i == 2 and broken:
            raise Boom
        return made.setdefault(i, CollectSink())

    broken = True
    sinks = ProducerSink(factory)
    with pytest.raises(Boom):
        MpscRing(2, "i8", sinks, producers=4)
    assert sorted(made) == [0, 1] and not made[0].closed
    broken = False
    with MpscRing(2, "i8", sinks, producers=4) as ring:
        for producer in ring.producers:
            producer.extend(range(3))
        ring.clear()
    assert [made[i].items.tolist() for i in range(4)] == [[0]] * 4 and all(sink.closed for sink in made.values())


def test_a_sink_that_refuses_loses_nothing():
    fickle = Fickle(KINDS[2], 5)
    ring = MpscRing(4, "i4", fickle, producers=2)
    failed = 0
    for n in range(200):
        for i in range(2):
            while True:
                try:
                    ring.producers[i].push(i * EACH + n)
                    break
                except Boom:
                    failed += 1
    assert failed and ring.stats == (400, 0, 392, 0) and len(ring) == 8
    rest = ring.pop_many().tolist()
    for i in range(2):
        assert [n for n in fickle.got + rest if n // EACH == i] == list(range(i * EACH, i * EACH + 200))


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]], ids=["objects", "i4"])
def test_a_drain_that_fails_goes_on_where_it_was(kind):
    ring = MpscRing(50, kind.dtype, producers=3)
    for i in range(3):
        ring.producers[i].extend(kind.block(range(i * EACH, i * EACH + 50)))
    fickle = Fickle(kind, 1)
    got, fails = [], 0
    while ring:
        try:
            ring.drain(fickle)
        except Boom:
            fails += 1
            got += fickle.got + kind.numbers(ring.pop_many(1))
            fickle.got.clear()
        assert len(got) + len(fickle.got) + len(ring) == 150 == sum(ring.stats[1:3]) + len(ring)
    got += fickle.got
    assert fails and all(sorted(own) == own for own in ([n for n in got if n // EACH == i] for i in range(3)))
    assert sorted(got) == [n for i in range(3) for n in range(i * EACH, i * EACH + 50)]


# -- misuse ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "producers, error",
    [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError), (None, TypeError),
     (sys.maxsize, ValueError), (65537, ValueError), (10**30, MemoryError), (-(10**30), ValueError)],
)
def test_producers(producers, error):
    with pytest.raises(error):
        MpscRing(4, "i8", producers=producers)
    with pytest.raises(TypeError):
        MpscRing(4)


def test_a_second_consumer_is_refused():
    class Consuming(Sink):
        errors = 0

        def send(self, items):
            for call in (ring.pop, ring.pop_many, ring.wait, ring.clear, *(p.pop for p in ring.producers),
                         lambda: ring.pop_into(np.zeros(3)), lambda: ring.drain(CollectSink())):
                with pytest.raises(RuntimeError, match="in use"):
                    call()
                self.errors += 1

    ring = MpscRing(4, "f8", producers=2)
    ring.producers[1].extend(range(3))
    sink = Consuming()
    assert ring.drain(sink) == 3 and sink.errors == 8
    ring.producers[0].extend(range(3))
    ring.producers[1].extend(range(2))
    for producer in ring.producers:
        with producer.read(1):
            with pytest.raises(RuntimeError, match="read"):
                ring.pop()
    assert sorted(ring.pop_many(9).tolist()) == [1, 1, 2]


def test_a_drain_into_a_ring_of_its_own():
    for dtype in ("i8", None):
        ring = MpscRing(4, dtype, producers=2)
        ring.producers[0].extend(range(4))
        for producer in ring.producers:
            with pytest.raises(ValueError, match="themselves"):
                ring.drain(producer)
        assert len(ring) == 4 and ring.stats.pushed == 4


def test_pop_into_refuses():
    ring = MpscRing(4, "f8", producers=2)
    ring.producers[0].push(1)
    for out in (np.zeros(2, "f4"), np.zeros((2, 2)), np.zeros(4)[::2], np.zeros(0), b"12345678", None, [0.0]):
        with pytest.raises((TypeError, ValueError)):
            ring.pop_into(out)
    with pytest.raises(TypeError, match="pop_many"):
        MpscRing(4, producers=1).pop_into(np.zeros(2))
    assert len(ring) == 1


def test_before_and_after_init():
    bare = MpscRing.__new__(MpscRing)
    for call in (bare.pop, bare.pop_many, bare.wait, bare.clear, bare.flush, bare.close, lambda: len(bare),
                 lambda: bare.producers, lambda: bare.stats, lambda: bare.capacity, lambda: bare.ended,
                 lambda: bare.drain(CollectSink()), lambda: asyncio.run(bare.wait_async()), lambda: repr(bare)):
        with pytest.raises(RuntimeError, match="never initialised"):
            call()
    with pytest.raises((RuntimeError, TypeError)):
        bare.pop_into(np.zeros(3))
    sink = CollectSink()
    ring = MpscRing(4, "i8", sink, producers=2)
    ring.producers[1].push(3)
    with pytest.raises(RuntimeError, match="already"):
        ring.__init__(8, "f8", producers=3)
    assert ring.capacity == 4 and ring.pop() == 3
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(ring)


def test_a_factory_that_initialises_its_ring():
    ring = MpscRing.__new__(MpscRing)

    def factory(i):
        if i == 0:
            ring.__init__(4, "i8", producers=1)
        return CollectSink()

    with pytest.raises(RuntimeError, match="already"):
        ring.__init__(4, "i8", ProducerSink(factory), producers=2)
    assert len(ring.producers) == 1


@pytest.mark.parametrize("dtype, sink, error", [
    (object, None, TypeError), ("f8", 3, TypeError), ("f8", ArrayRing(4, "f4"), TypeError),
    (None, ArrayRing(4, "f4"), TypeError), ("f8", ObjectRing(3), TypeError), ("f8", CollectSink, TypeError),
])
def test_what_does_not_fit(dtype, sink, error):
    with pytest.raises(error):
        MpscRing(4, dtype, sink, producers=2)
    with pytest.raises(error):
        MpscRing(4, dtype, ProducerSink(lambda i: sink) if sink is not None else None, producers=2)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_has_its_own_copy():
    """The consumer is in the middle of a drain when the child is made."""
    assert run_child("mpsc/forks_inside_of_a_drain") == "through\n"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["None", "'i8'"])
def test_a_fork_inside_of_a_drain_leaves_all_rings_in_use(dtype):
    """Also those that it is through with, and those that it comes to later."""
    assert run_child("mpsc/forks_inside_of_a_sink", dtype) == "through\n"


@pytest.mark.slow
def test_at_exit_what_is_left_goes_to_the_sinks(tmp_path):
    assert complete_child("mpsc/exits", tmp_path).stderr == ""
    assert [(tmp_path / str(i)).read_text() for i in range(3)] == ["ABCDEFGHIJ", "BCDEFGHIJK", "CDEFGHIJKL"]


def test_a_waiting_consumer_counts_what_comes_as_it_falls_asleep():
    """Three items in any split, each as the consumer goes to sleep: a wake-up that is lost leaves it there."""
    ring = MpscRing(10, "i8", producers=2)
    for turn in range(300):
        waiting = threading.Thread(daemon=True, target=ring.wait, args=(3,))
        waiting.start()
        for i in (0, turn & 1, turn >> 1 & 1):
            ring.producers[i].push(turn)
        waiting.join(30)
        assert not waiting.is_alive()
        assert len(ring.pop_many()) == 3


@pytest.mark.parametrize("turns", [300])
def test_no_wake_up_is_lost(turns):
    """As above, but in an event loop, which doesn't look by itself now and then."""
    async def main():
        ring = MpscRing(10, "i8", producers=2)
        for turn in range(turns):
            pushes = [ring.producers[i].push for i in (0, turn & 1, turn >> 1 & 1)]
            pushing = threading.Thread(daemon=True, target=lambda: [push(0) for push in pushes])
            pushing.start()
            assert await ring.wait_async(3)
            pushing.join()
            assert len(ring.pop_many()) == 3
        # What a drain has left is held, and takes no room: more can come beside it.
        ring = MpscRing(4, "i8", producers=2)
        producer = ring.producers[0]
        producer.extend(range(4))
        with pytest.raises(ZeroDivisionError):
            ring.drain(lambda block: 1 // 0)
        waiting = asyncio.ensure_future(ring.wait_async(8))
        await asyncio.sleep(0.01)
        producer.extend(range(4, 8))
        assert await waiting and ring.pop_many().tolist() == list(range(8))

    asyncio.run(asyncio.wait_for(main(), 60))


def test_clear_is_all_or_nothing():
    ring = MpscRing(4, "i8", producers=2)
    for producer in ring.producers:
        producer.extend(range(3))
    with ring.producers[1].read(1), pytest.raises(RuntimeError, match="open read"):
        ring.clear()
    assert len(ring) == 5 and ring.stats.dropped == 0
    ring.clear()
    assert len(ring) == 0 and ring.stats == (6, 1, 0, 5)


@pytest.mark.parametrize("name", ["_request_wake", "_end_wait", "_begin_wait"])
def test_a_wait_of_one_that_was_never_initialised(name):
    with pytest.raises(RuntimeError, match="never initialised"):
        getattr(MpscRing.__new__(MpscRing), name)(1)
