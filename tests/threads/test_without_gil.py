"""A thread that comes in without the GIL, and one that has it, meet in a sink or ring: one of them is refused.

Nothing here waits for the two to meet, and everything holds if they never do. With a GIL, what is called from Python
meets only what lets go of the GIL: the thread of a `BackgroundSink`, long runs of an `SpscRing`, callers in C.
"""
import collections
import sys
import threading

import numpy as np
import pytest

from spill_ring import (
    ArrayRing,
    BackgroundSink,
    BatchSink,
    CollectSink,
    LockedSink,
    MpscRing,
    ProducerSink,
    ReduceSink,
    SpscRing,
    TeeSink,
)

N = 20_000  # items in a round; as a block they are more than the 64 KiB from which on a ring lets go of the GIL
CLOSED, IN_USE, FAILED = -2, -3, -1  # what a call in C returns


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """A C call has nobody to raise to: it reports the refusal, and its items stay."""
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)


def tried(call, *args):
    """What a call returns; None where it was refused."""
    try:
        return call(*args)
    except RuntimeError as error:
        check_refusal(error)
        return None


def check_refusal(error):
    """The other thread was inside: that is all that a call may say."""
    assert "in use" in str(error) or "open reserve" in str(error), error


# -- what comes in without the GIL: each sends the numbers from 0 to N-1 to a sink, one by one ---------------------


def one_by_one(sink):
    return BatchSink(1, sink)  # in one call, so that there is time to meet


class Background:
    """The thread of a BackgroundSink. It tells an error to the producer, and goes on once that has seen it."""

    def __init__(self, behind):
        self.sink = BackgroundSink(one_by_one(behind), N)

    def begin(self):
        self.sink.send(np.arange(float(N)))

    def is_going_on(self):
        tried(self.sink.send, np.empty(0, "f8"))
        return len(self.sink) > 0

    def end(self):
        while not self.sink.closed:
            tried(self.sink.close)


class Thread:
    """A thread that works until all is done, whoever refuses it meanwhile."""

    def __init__(self, behind):
        self.thread = threading.Thread(target=self.run, daemon=True)

    def begin(self):
        self.thread.start()

    def is_going_on(self):
        return self.thread.is_alive()

    def end(self):
        self.thread.join(60)
        assert not self.thread.is_alive()
        self.close()


class LongRuns(Thread):
    """An SpscRing that spills runs of 64 KiB and more."""

    def __init__(self, behind):
        super().__init__(behind)
        self.ring = SpscRing(1, "f8", sink=one_by_one(behind))

    def run(self):
        items = np.arange(N + 1.0)  # the last one stays
        while (pushed := self.ring.stats.pushed) <= N:
            tried(self.ring.extend, items[pushed:])

    def close(self):
        assert self.ring.pop() == N
        self.ring.close()


class Drain(Thread):
    """A consumer that drains an SpscRing, or one of several rings."""

    def __init__(self, behind, ring=None):
        super().__init__(behind)
        self.ring, self.sink = ring or SpscRing(N, "f8"), one_by_one(behind)
        self.source = self.ring.producers[0] if ring else self.ring
        self.source.extend(np.arange(float(N)))

    def run(self):
        while len(self.ring):
            tried(self.ring.drain, self.sink)

    def close(self):
        self.sink.close()


class DrainOfSeveral(Drain):
    def __init__(self, behind):
        super().__init__(behind, MpscRing(N, "f8", producers=2))


class CInterface(Thread):
    """A caller in C, to whom a ring in front gave its interface."""

    def __init__(self, behind):
        super().__init__(behind)
        self.ring = ArrayRing(1, "f8", sink=one_by_one(behind))
        self.c = self.ring.ctypes

    def run(self):
        items = np.arange(N + 1.0)
        while (pushed := self.ring.stats.pushed) <= N:
            self.c.push(self.c.state, items[pushed:].ctypes, N + 1 - pushed)

    def close(self):
        assert self.ring.pop() == N
        self.ring.close()


FRONTS = [Background, LongRuns, Drain, DrainOfSeveral, CInterface]


# -- what they meet in: a place, what the other thread does there, and where all items are in the end --------------


class Place:
    rounds = 12

    def __init__(self):
        self.end = CollectSink()
        self.sink = self.make()
        self.taken, self.n_pushed = [], 0

    def push(self, place):
        try:
            place.send(np.array([-1.0]))
        except RuntimeError as error:
            check_refusal(error)
            self.n_pushed += getattr(error, "n_taken", 0)
        else:
            self.n_pushed += 1

    def take(self, items):
        if items is not None:
            self.taken.append(np.asarray(items, "f8"))

    def found(self):
        return np.concatenate([np.empty(0, "f8"), *self.taken, np.asarray(self.end.items, "f8").reshape(-1)])


class Popped(Place):
    def make(self):
        return ArrayRing(4, "f8", sink=self.end)

    def meddle(self):
        self.take(tried(self.sink.pop_many, 1))


class Pushed(Popped):
    def meddle(self):
        self.push(self.sink)


class Looked(Popped):
    def meddle(self):
        if (block := tried(self.sink.latest, 4)) is not None:
            assert (np.diff(block) == 1).all()
        tried(self.sink.flush)


class Reserved(Popped):
    def meddle(self):
        try:
            with self.sink.reserve(2) as block:
                block[:] = -1
            self.n_pushed += 2
        except RuntimeError as error:
            check_refusal(error)


class Drained(Popped):
    def meddle(self):
        mine = CollectSink()
        tried(self.sink.drain, mine)
        self.take(mine.items)


class Emptied(Popped):
    """The sink behind the ring."""

    def meddle(self):
        self.take(tried(self.end.take))


class Second(Place):
    """The ring behind the ring that is sent to."""

    def make(self):
        self.second = ArrayRing(4, "f8", sink=self.end)
        return ArrayRing(4, "f8", sink=self.second)

    def meddle(self):
        self.take(tried(self.second.pop_many, 1))


class Collected(Place):
    def make(self):
        return self.end

    def meddle(self):
        self.take(tried(self.end.take))


class Batched(Place):
    def make(self):
        return BatchSink(3, self.end)

    def meddle(self):
        self.push(self.sink)
        tried(self.sink.flush)


class Reduced(Place):
    rounds = 2  # numpy is called for each item

    def make(self):
        return ReduceSink(1, np.maximum, self.end)

    def meddle(self):
        self.push(self.sink)


class Teed(Place):
    def make(self):
        return TeeSink(ArrayRing(4, "f8", sink=self.end))

    def meddle(self):
        self.push(self.sink)
        self.take(tried(self.sink.sinks[0].pop_many, 1))


class Locked(Place):
    def make(self):
        self.ring = ArrayRing(4, "f8", sink=self.end)
        return LockedSink(self.ring)

    def meddle(self):
        self.push(self.sink)
        self.take(tried(self.ring.pop_many, 1))


class MadeLater(Place):
    """Its factory makes the ring once the first item is sent."""

    def make(self):
        self.rings = []
        return ProducerSink(self.ring)

    def ring(self, index):
        self.rings.append(ArrayRing(4, "f8", sink=self.end))
        return self.rings[0]

    def meddle(self):
        if self.rings:
            self.take(tried(self.rings[0].pop_many, 1))


class Producer(Place):
    """Two producers of one SpscRing."""

    def make(self):
        return SpscRing(4, "f8", sink=self.end)

    def meddle(self):
        self.push(self.sink)


PLACES = [
    Popped, Pushed, Looked, Reserved, Drained, Emptied, Second, Collected, Batched, Reduced, Teed, Locked, MadeLater,
    Producer,
]


def send_beside(place, front):
    """Send all items there while the other thread does something there too, and look for them."""
    front.begin()
    while front.is_going_on():
        place.meddle()
    front.end()  # which closes the chain, so that all that is in it comes to its end
    counts = collections.Counter(place.found().tolist())
    assert counts.pop(-1, 0) == place.n_pushed
    assert len(counts) == N and set(counts.values()) == {1}, counts.most_common(3)
    assert counts.keys() == set(range(N))


@pytest.mark.slow
@pytest.mark.parametrize("place_of", PLACES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("front_of", FRONTS, ids=lambda kind: kind.__name__)
def test_each_item_is_in_one_place(front_of, place_of):
    for _ in range(place_of.rounds):
        place = place_of()
        send_beside(place, front_of(place.sink))


# -- the ring itself, which a loop in C calls ----------------------------------------------------------------------


class LoopInC(Thread):
    """A thread that Python doesn't know. It calls again and again, and goes on where it was refused."""

    def __init__(self, ring, client, block, reserves):
        super().__init__(ring)
        self.ring, self.client, self.block, self.reserves = ring, client, block, reserves
        self.capsule = ring.capsule

    def run(self):
        done, code = 0, 0
        while done < N and code in (0, IN_USE, FAILED):
            code, count = self.client.push_numbers(self.capsule, done, N - done, self.block, self.reserves)
            done += count

    def close(self):
        self.ring.flush()
        self.ring.close()


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize("block, reserves", [(1, False), (3, False), (2, True)])
@pytest.mark.parametrize("place_of", [*PLACES[:7], Producer], ids=lambda kind: kind.__name__)
def test_a_producer_in_c(place_of, block, reserves, pthread_client):
    for _ in range(place_of.rounds):
        place = place_of()
        send_beside(place, LoopInC(place.sink, pthread_client, block, reserves))


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize("kind", [ArrayRing, SpscRing])
def test_two_consumers_one_in_c(kind, pthread_client):
    for _ in range(Place.rounds):
        ring, in_c, mine = kind(N, "f8"), [], []
        ring.extend(np.arange(float(N)))
        capsule = ring.capsule
        if kind is SpscRing:
            ring.close()

        def consume(ring=ring, capsule=capsule, in_c=in_c):
            code = IN_USE
            while code == IN_USE:
                code, *popped = pthread_client.pop_numbers(capsule, 1)
                in_c.append(popped)

        thread = threading.Thread(target=consume, daemon=True)
        thread.start()
        while len(ring):
            block = tried(ring.pop_many, 2)
            mine += [] if block is None else block.tolist()
        while not ring.closed:
            tried(ring.close)
        thread.join(60)
        assert not thread.is_alive()
        counts, totals, orders = zip(*in_c, strict=True)
        assert all(orders) and mine == sorted(set(mine))
        assert sum(counts) + len(mine) == N and sum(totals) + sum(mine) == N * (N - 1) / 2


# -- the moment at which the way in becomes atomic -----------------------------------------------------------------


def refused(call, *args):
    with pytest.raises(RuntimeError, match=r"in use|open re"):
        call(*args)


def test_while_it_is_reserved():
    ring = ArrayRing(4, "f8")
    with ring.reserve(2) as block:
        assert ring.ctypes.push(ring.ctypes.state, block.ctypes, 1) == IN_USE
        refused(ring.push, 3)
        block[:] = 1, 2
    ring.push(3)
    assert ring.ctypes.push(ring.ctypes.state, np.array([4.0]).ctypes, 1) == 0
    assert ring.pop_many().tolist() == [1, 2, 3, 4]


def test_while_it_sends():
    codes = []

    def sink(block):
        refused(ring.push, 9)
        codes.append(ring.ctypes.push(ring.ctypes.state, block.ctypes, 1))

    ring = ArrayRing(2, "f8", sink=sink)
    ring.extend([1, 2, 3])
    ring.push(4)
    assert codes == [IN_USE, IN_USE] and ring.view().tolist() == [3, 4]


def test_while_it_is_read():
    ring = SpscRing(4, "f8")
    ring.extend([1, 2, 3])
    with ring.read(2) as block:
        assert ring.ctypes.pop(ring.ctypes.state, np.empty(1).ctypes, 1) == IN_USE
        refused(ring.pop)
        assert block.tolist() == [1, 2]
    assert ring.pop() == 3


def test_while_a_ring_in_front_of_it_sends():
    """The way in behind a ring becomes atomic with its own, and what is attached to that later too."""
    ends = []

    def make(index):
        ends.append(ArrayRing(2, "f8", sink=CollectSink()))
        return ends[0]

    ring = ArrayRing(2, "f8", sink=ProducerSink(make))
    c = ring.ctypes
    items = np.arange(8.0)
    assert c.push(c.state, items.ctypes, 8) == 0
    assert ends[0].view().tolist() == [4, 5] and ends[0].sink.items.tolist() == [0, 1, 2, 3]
