"""SpscRing: two threads with failing sinks and stalls, and chains."""
import os
import random
import threading
import time
from queue import Full

import numpy as np
import pytest

from helpers.kinds import KINDS
from helpers.model import Boom, Flaky
from helpers.spsc import OVERFLOWS, collect_blocks, finish, started
from spill_ring import (
    ArrayRing,
    CollectSink,
    LockedSink,
    ObjectRing,
    SpscRing,
)


def stalled(ring, n=None):
    """A thread that is inside of `ring.read(n)` until `go_on` is called; what it read is the outcome."""
    inside, leave = threading.Event(), threading.Event()

    def read():
        with ring.read(n) as block:
            inside.set()
            leave.wait(30)
            return list(block)

    outcomes = started(read)
    assert inside.wait(30)

    def go_on():
        leave.set()
        return finish(outcomes)

    return go_on


# -- two threads -----------------------------------------------------------------------------------------------


class Unreliable(Flaky):
    """Takes a random part of what it is sent, and then raises, now and then."""

    def __init__(self, kind, rng):
        super().__init__(kind)
        self.rng = rng

    def send(self, items):
        if self.rng.random() < 0.1:
            self.budget = self.rng.randrange(5)
        try:
            super().send(items)
        finally:
            self.budget = None


class Producer:
    """Pushes 0, 1, 2, … by any call; what was refused is pushed again."""

    def __init__(self, ring, kind, count, rng):
        self.ring, self.kind, self.count, self.rng = ring, kind, count, rng
        self.stop = False

    def run(self):
        calls = [self.push, self.extend, self.extend, self.generator, self.try_push, self.try_extend, self.stall]
        if self.kind.dtype is not None:
            calls.append(self.reserve)
        if self.ring.overflow == "spill":
            calls.append(self.flush)
        while (next_one := self.ring.stats.pushed) < self.count and not self.stop:
            numbers = range(next_one, min(self.count, next_one + self.rng.randrange(1, 40)))
            try:
                self.rng.choice(calls)(numbers)
            except (Boom, Full):
                time.sleep(0)
        while not self.ring.closed:
            try:
                self.ring.close()
            except Boom:
                pass

    def timeout(self):
        return {"timeout": self.rng.choice([0, 1e-5, 1e-3, None])} if self.ring.overflow == "block" else {}

    def push(self, numbers):
        self.ring.push(self.kind.item(numbers[0]), **self.timeout())

    def extend(self, numbers):
        self.ring.extend(self.kind.block(numbers), **self.timeout())

    def generator(self, numbers):
        self.ring.extend((self.kind.item(n) for n in numbers), **self.timeout())

    def try_push(self, numbers):
        self.ring.try_push(self.kind.item(numbers[0]))

    def try_extend(self, numbers):
        self.ring.try_extend(self.kind.block(numbers))

    def reserve(self, numbers):
        numbers = numbers[: self.ring.capacity]
        with self.ring.reserve(len(numbers)) as block:
            block[...] = self.kind.block(numbers)

    def flush(self, numbers):
        if self.rng.random() < 0.1:
            self.ring.flush()

    def stall(self, numbers):
        time.sleep(self.rng.choice([0, 1e-5, 1e-3]))


class Consumer:
    """Removes items by any call until the end."""

    def __init__(self, ring, kind, rng):
        self.ring, self.kind, self.rng = ring, kind, rng
        self.popped, self.drained = [], []

    def run(self):
        calls = [self.pop, self.pop_many, self.pop_many, self.read, self.read, self.drain, self.wait, self.stall]
        if self.kind.dtype is not None:
            calls.append(self.pop_into)
        while not self.ring.ended:
            self.rng.choice(calls)(self.rng.randrange(1, 40))
        assert self.ring.pop(None, timeout=None) is None

    def timeout(self):
        return self.rng.choice([0, 0, 1e-5, 1e-3])

    def pop(self, n):
        try:
            self.popped.append(self.kind.number(self.ring.pop(timeout=self.timeout())))
        except IndexError:
            pass

    def pop_many(self, n):
        self.popped += self.kind.numbers(self.ring.pop_many(n, timeout=self.timeout()))

    def pop_into(self, n):
        out = np.empty(2 * n, self.kind.dtype)[:: self.rng.choice([1, 2])]
        self.popped += self.kind.numbers(out[: self.ring.pop_into(out, timeout=self.timeout())])

    def read(self, n):
        try:
            with self.ring.read(n, timeout=self.timeout()) as block:
                numbers = self.kind.numbers(block)
                if self.rng.random() < 0.2:
                    raise Boom
                self.stall(n)
                assert self.kind.numbers(block) == numbers  # nobody wrote there
        except Boom:
            return
        self.popped += numbers

    def drain(self, n):
        sink = Unreliable(self.kind, self.rng)
        try:
            self.ring.drain(sink)
        except Boom:
            pass
        assert not self.drained or not sink.got or sink.got[0] > self.drained[-1]
        self.drained += sink.got

    def wait(self, n):
        self.ring.wait(min(n, self.ring.capacity), timeout=self.timeout())

    def stall(self, n):
        time.sleep(self.rng.choice([0, 0, 1e-5, 1e-3]))


@pytest.mark.parametrize(
    "kind",
    [KINDS[0], KINDS[1], *(pytest.param(KINDS[n], marks=pytest.mark.slow) for n in (7, 9, 10))],
    ids=lambda kind: kind.name,
)
@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("capacity, at_once", [(1, 1), (7, 3), (60, 1)])
def test_two_threads(kind, overflow, capacity, at_once, memory, many_switches):
    seed = hash((kind.name, overflow, capacity, memory, os.environ.get("SPILL_RING_SEED"))) & 0xFFFF
    sink = Unreliable(kind, random.Random(seed)) if seed % 4 else None
    ring = SpscRing(capacity, kind.dtype, sink, overflow=overflow, evict_block=at_once)
    producer = Producer(ring, kind, 1000, random.Random(seed + 1))
    consumer = Consumer(ring, kind, random.Random(seed + 2))
    outcomes = [started(producer.run), started(consumer.run)]
    try:
        for outcome in outcomes:
            finish(outcome)
    finally:
        producer.stop = True
    evicted = [] if sink is None else sink.got
    for place in (consumer.popped, consumer.drained, evicted):
        assert place == sorted(place)
    every = sorted(consumer.popped + consumer.drained + evicted)
    stats = ring.stats
    assert len(every) == len(set(every)) == 1000 - stats.dropped and (sink is None or stats.dropped == 0)
    assert stats == (1000, len(consumer.popped), len(consumer.drained) + len(evicted), stats.dropped)
    assert sink is None or sink.closed


@pytest.mark.parametrize("dtype", [None, "i8", "V3"])
def test_beside_a_stalled_consumer(dtype, memory):
    """Its slots are needed: new items go straight to the sink, and nobody waits."""
    def items(start, stop):
        numbers = range(start, stop)
        return list(numbers) if dtype is None else np.array([(n % 256, n >> 8, 0) for n in numbers], "u1,u1,u1").astype(
            [("a", "u1"), ("b", "u1"), ("c", "u1")]).view("V3") if dtype == "V3" else np.array(numbers, dtype)

    def numbers(items):
        return [n if dtype != "V3" else bytes(n)[0] + 256 * bytes(n)[1] for n in items]

    sink = CollectSink()
    ring = SpscRing(1000, dtype, sink)
    ring.extend(items(0, 1000))
    go_on = stalled(ring)
    for start in range(1000, 20_000, 500):
        ring.extend(items(start, start + 500))
    read = numbers(go_on())
    assert read == list(range(len(read))) and len(read) > 0
    rest = numbers(ring.pop_many())
    taken = numbers(sink.items)
    assert taken + rest == list(range(len(read), 20_000))
    assert ring.stats == (20_000, len(read) + len(rest), len(taken), 0)


def test_reserving_beside_a_stalled_consumer():
    sink = CollectSink()
    ring = SpscRing(512, "i8", sink)
    ring.extend(range(512))
    go_on = stalled(ring)
    for start in range(512, 10_000, 512):
        with ring.reserve(512) as block:
            block[:] = range(start, start + 512)
    assert go_on() == list(range(512))
    assert [*sink.items, *ring.pop_many()] == list(range(512, 512 * 20))


def test_a_commit_that_fails_beside_a_stalled_consumer():
    """The block was kept aside, and its items go to a sink that has enough: its own error arrives."""
    failing = []

    def sink(block):
        if failing:
            raise OSError("mine")

    ring = SpscRing(512, "i8", sink)
    ring.extend(range(512))
    go_on = stalled(ring)
    ring.extend(range(2000))
    for call in (lambda: ring.commit(512), lambda: None):
        failing.clear()
        with pytest.raises(OSError, match="mine"), ring.reserve(512):
            failing.append(True)
            call()
        before = ring.stats
    failing.clear()
    ring.push(1)
    assert ring.stats.pushed == before.pushed + 1
    go_on()


# -- chains ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [None, "i8"])
@pytest.mark.parametrize("first", ["one thread", "spsc"])
def test_evicting_into_a_ring_that_waits(dtype, first):
    """The one that evicts holds the GIL, and the consumer that makes room needs it."""
    last = SpscRing(4, dtype, overflow="block")
    if first == "spsc":
        ring = SpscRing(2, dtype, last)
    else:
        ring = ObjectRing(2, last) if dtype is None else ArrayRing(2, dtype, last)
    consumer = started(collect_blocks, last)
    for n in range(100):
        ring.push(n)
    ring.extend(range(100, 300))
    ring.flush()
    ring.close()
    assert finish(consumer) == list(range(300))


def test_reserving_in_a_ring_that_waits():
    ring = SpscRing(4, "i8", overflow="block")
    consumer = started(collect_blocks, ring)
    for start in range(0, 400, 4):
        with ring.reserve(4) as block:
            block[:] = range(start, start + 4)
    ring.close()
    assert finish(consumer) == list(range(400))


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("dtype", [None, "i8"])
def test_a_chain_of_rings(overflow, dtype):
    sink = CollectSink()
    # The content of one that doesn't evict is the consumer's, so what comes before can't flush it into a sink.
    middle = SpscRing(10, dtype, sink if overflow == "spill" else None, overflow=overflow)
    first = ObjectRing(5, middle) if dtype is None else ArrayRing(5, dtype, middle)
    consumer = started(collect_blocks, middle, 7)
    for n in range(1000):
        while True:
            try:
                first.push(n)
                break
            except Full:
                time.sleep(0)
    while not first.closed:
        try:
            first.close()
        except Full:
            time.sleep(0)
    got = finish(consumer)
    assert sorted([*got, *sink.items]) == list(range(1000)) and got == sorted(got)
    assert middle.closed and middle.ended and sink.closed == (overflow == "spill")


def test_several_producers_behind_a_lock(many_switches):
    ring = SpscRing(10, "i8", overflow="block")
    shared = LockedSink(ring)
    rings = [ArrayRing(3, "i8", shared) for _ in range(3)]
    consumer = started(collect_blocks, ring)
    producers = [started(lambda r=r, i=i: r.extend(range(i, 900, 3))) for i, r in enumerate(rings)]
    for producer in producers:
        finish(producer)
    for each in rings:
        each.close()
    assert sorted(finish(consumer)) == list(range(900)) and ring.closed
