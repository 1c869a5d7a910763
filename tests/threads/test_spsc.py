"""SpscRing: two threads with failing sinks and stalls, waiting, misuse, forks, signals, garbage."""
import gc
import itertools
import os
import pickle
import random
import signal
import sys
import threading
import time
import warnings
import weakref
from queue import Empty, Full, SimpleQueue

import numpy as np
import pytest

from helpers.children import run_child
from helpers.kinds import KINDS
from helpers.model import Boom, Flaky
from spill_ring import (
    ArrayRing,
    BatchSink,
    CollectSink,
    DropSink,
    LockedSink,
    MpscRing,
    ObjectRing,
    Sink,
    SpillRing,
    SpscRing,
)
from spill_ring.rings.loan import Loan

OVERFLOWS = ["spill", "reject", "block"]
SHORT = 0.01
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")


def started(call, *args):
    """A thread, and where its outcome will be."""
    outcomes = SimpleQueue()

    def run():
        try:
            outcomes.put(call(*args))
        except BaseException as error:
            outcomes.put(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return outcomes


def finish(outcomes):
    try:
        outcome = outcomes.get(timeout=15)
    except Empty:
        pytest.fail("a thread hangs")
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


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


def waits(ring, side):
    """Until a thread is inside of that side."""
    call = (lambda: ring.try_extend([])) if side == "producer" else (lambda: ring.wait(0))
    for _ in range(3000):
        try:
            call()
        except RuntimeError:
            return
        time.sleep(0.001)
    pytest.fail("nobody waits")


@pytest.fixture
def many_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


# -- two threads ---------------------------------------------------------------------------------


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


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[1], KINDS[7], KINDS[9], KINDS[10]], ids=lambda kind: kind.name)
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


# -- chains --------------------------------------------------------------------------------------


def collect_blocks(ring, n=None):
    got = []
    for block in ring.blocks(n):
        got.extend(block)
    return got


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


# -- waiting, and the end ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [None, "f8"])
def test_waits_that_end_by_a_push_or_close(dtype):
    for call in ("pop", "pop_many", "wait", "read", "pop_into"):
        if call == "pop_into" and dtype is None:
            continue
        calls = {
            "pop": lambda ring: ring.pop(None, timeout=None),
            "pop_many": lambda ring: list(ring.pop_many(2, timeout=None)) or None,
            "wait": lambda ring: ring.wait(1) or None,
            "read": lambda ring: list(ring.read(2, timeout=30).__enter__()) or None,
            "pop_into": lambda ring: ring.pop_into(np.zeros(2), timeout=None) or None,
        }
        ring = SpscRing(4, dtype)
        consumer = started(calls[call], ring)
        waits(ring, "consumer")
        ring.push(1.0)
        assert finish(consumer) is not None
        ring = SpscRing(4, dtype)
        consumer = started(calls[call], ring)
        waits(ring, "consumer")
        ring.close()
        assert finish(consumer) is None


def test_wait_for_several():
    ring = SpscRing(4)
    consumer = started(ring.wait, 3)
    waits(ring, "consumer")
    ring.extend([1, 2])
    with pytest.raises(RuntimeError, match="in use"):
        ring.pop()
    ring.push(3)
    assert finish(consumer) is True and len(ring) == 3
    consumer = started(ring.wait, 4)
    waits(ring, "consumer")
    ring.close()
    assert finish(consumer) is False and ring.pop_many() == [1, 2, 3]


@pytest.mark.parametrize("dtype", [None, "f8"])
def test_a_producer_that_waits(dtype):
    ring = SpscRing(2, dtype, overflow="block")
    producer = started(ring.extend, [0, 1, 2, 3, 4])
    waits(ring, "producer")
    with pytest.raises(RuntimeError, match="in use"):
        ring.close()
    got = [ring.pop(timeout=30) for _ in range(5)]
    finish(producer)
    assert got == [0, 1, 2, 3, 4] and ring.stats == (5, 5, 0, 0)


def test_neither_waits_for_the_other():
    """A consumer that waits for many items beside a producer that waits for much room."""
    ring = SpscRing(8, "i8", overflow="block")
    ring.extend(range(5))
    producer = started(ring.extend, np.arange(5, 20))
    assert ring.wait(8, timeout=30)
    got = list(ring.pop_many())
    while len(got) < 20:
        got.extend(ring.pop_many(timeout=30))
    finish(producer)
    assert got == list(range(20))


@pytest.mark.parametrize("dtype", [None, "f8"])
def test_timeouts(dtype):
    ring = SpscRing(2, dtype, overflow="block")
    assert ring.wait(1, SHORT) is False and ring.wait(1, timeout=SHORT) is False
    assert ring.pop("none", timeout=SHORT) == "none" and len(ring.pop_many(timeout=SHORT)) == 0
    with pytest.raises(IndexError, match="empty"):
        ring.pop(timeout=SHORT)
    with ring.read(timeout=SHORT) as block:
        assert len(block) == 0
    ring.extend([1, 2])
    for call in (lambda: ring.push(3, timeout=SHORT), lambda: ring.extend([3, 4], timeout=SHORT)):
        with pytest.raises(Full, match="holds 2 of 2"):
            call()
    ring.pop()
    with pytest.raises(Full):
        ring.extend([3, 4], timeout=SHORT)
    assert list(ring.pop_many()) == [2, 3] and ring.stats == (3, 3, 0, 0)


def test_one_timeout_for_all_of_a_generator():
    ring = SpscRing(1, overflow="block")

    def items():
        yield 0
        time.sleep(2 * SHORT)
        started(lambda: (time.sleep(2 * SHORT), ring.pop()))
        yield 1

    with pytest.raises(Full):
        ring.extend(items(), timeout=SHORT)
    assert ring.stats.pushed == 1


@pytest.mark.parametrize(
    "timeout, error",
    [(-1, ValueError), (-0.001, ValueError), (float("nan"), ValueError), (-float("inf"), ValueError),
     (-(10**400), ValueError), ("1", TypeError), (b"1", TypeError), ([], TypeError), (1j, TypeError)],
)
def test_bad_timeouts(timeout, error):
    ring = SpscRing(2, "f8", overflow="block")
    calls = [
        lambda: ring.wait(1, timeout), lambda: ring.pop(timeout=timeout), lambda: ring.pop_many(timeout=timeout),
        lambda: ring.pop_into(np.zeros(1), timeout=timeout), lambda: ring.read(timeout=timeout),
        lambda: ring.push(1.0, timeout=timeout), lambda: ring.extend([1.0], timeout=timeout),
    ]
    for call in calls:
        with pytest.raises(error, match="timeout"):
            call()
    assert ring.stats.pushed == 0


@pytest.mark.parametrize("timeout", [0, False, True, 1e300, float("inf"), 10**400, 2**63, np.float32(5), None])
def test_timeouts_that_will_do(timeout):
    ring = SpscRing(1, overflow="block")
    ring.push(1, timeout=timeout)
    assert ring.wait(1, timeout) and ring.pop(timeout=timeout) == 1


def test_no_timeout_where_nobody_waits():
    for overflow in ("spill", "reject"):
        ring = SpscRing(2, overflow=overflow)
        for call in (lambda: ring.push(1, timeout=1), lambda: ring.extend([1], timeout=0)):
            with pytest.raises(ValueError, match="block"):
                call()


def test_waiting_for_more_than_there_will_be():
    ring = SpscRing(4)
    for n in (5, 2**70):
        with pytest.raises(ValueError, match="4 at most"):
            ring.wait(n)
    with pytest.raises(ValueError, match="negative"):
        ring.wait(-1)
    with pytest.raises(ValueError, match="no items"):
        ring.blocks(0)
    assert ring.wait(0) and len(ring.read(2**70).__enter__()) == 0


def test_the_end_closes_the_sink_once():
    class Counts(CollectSink):
        closed_times = 0

        def close(self):
            self.closed_times += 1
            super().close()

    for end in (lambda r: r.pop(None), lambda r: r.wait(1), lambda r: r.pop_many(), lambda r: r.drain(DropSink()),
                lambda r: r.flush(), lambda r: list(r.blocks()), lambda r: r.read().__enter__()):
        sink = Counts()
        ring = SpscRing(4, "f8", sink)
        ring.extend([1, 2])
        ring.close()
        ring.close()
        assert not ring.ended and not sink.closed
        ring.pop_many()
        end(ring)
        assert ring.ended and sink.closed_times == 1


def test_a_sink_that_fails_to_close_is_closed_later():
    class Stubborn(CollectSink):
        failures = 2

        def close(self):
            if self.failures:
                self.failures -= 1
                raise OSError("not yet")
            super().close()

    sink = Stubborn()
    ring = SpscRing(2, sink=sink)
    with pytest.raises(OSError):
        ring.close()
    assert ring.closed
    with pytest.raises(OSError):
        ring.pop(None)
    assert ring.pop(None) is None and sink.closed


# -- misuse --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [None, "f8"])
def test_two_consumers(dtype):
    ring = SpscRing(4, dtype, sink=(sink := CollectSink()), overflow="reject")
    consumer = started(ring.pop_many, 4)
    finish(consumer)
    waiting = started(lambda: ring.pop(timeout=None))
    waits(ring, "consumer")
    calls = [ring.pop, ring.pop_many, ring.clear, ring.wait, lambda: ring.drain(sink), lambda: next(ring.blocks()),
             lambda: ring.read().__enter__()]
    for call in calls:
        with pytest.raises(RuntimeError, match="in use"):
            call()
    assert ring.flush() == 0  # the producer's
    ring.push(5)
    assert finish(waiting) == 5 and ring.stats == (1, 1, 0, 0)


@pytest.mark.parametrize("overflow", ["reject", "block"])
@pytest.mark.parametrize("dtype", [None, "f8"])
def test_a_chain_flushes_into_an_open_ring_whose_consumer_waits(dtype, overflow):
    """What waits for the consumer is the consumer's; the sink gets it only after the end."""
    sink = CollectSink()
    warm = SpscRing(4, dtype, sink, overflow=overflow)
    hot = SpillRing(2, dtype, warm)
    waiting = started(lambda: [warm.wait(3, 10), warm.pop()])
    waits(warm, "consumer")
    hot.extend([1, 2])
    assert hot.flush() == 2 and len(warm) == 2 and len(sink) == 0
    hot.extend([3, 4])
    assert warm.flush() == 0
    hot.close()
    assert finish(waiting) == [True, 1] and warm.closed and len(warm) == 3
    assert warm.flush() == 3 and list(sink.items) == [2, 3, 4] and sink.closed
    assert warm.stats == (4, 1, 3, 0)


@pytest.mark.parametrize("dtype", [None, "f8"])
def test_two_producers(dtype):
    ring = SpscRing(2, dtype, overflow="block")
    ring.extend([1, 2])
    waiting = started(ring.push, 3)
    waits(ring, "producer")
    calls = [lambda: ring.push(9), lambda: ring.push(9.0), lambda: ring.extend([9]), lambda: ring.try_push(9),
             lambda: ring.send(np.array([9.0]) if dtype else 9), ring.flush, ring.close,
             ring.__enter__]
    if dtype is not None:
        calls.append(lambda: ring.reserve(1).__enter__())
    for call in calls:
        with pytest.raises(RuntimeError, match="in use"):
            call()
    assert ring.pop() == 1
    finish(waiting)
    assert list(ring.pop_many()) == [2, 3] and ring.stats == (3, 3, 0, 0)


@pytest.mark.parametrize("dtype", [None, "f8"])
def test_many_threads_that_shouldnt_be_there(dtype, many_switches):
    """Whoever comes in too much is refused, and whatever wasn't refused is accounted for."""
    ring = SpscRing(8, dtype)
    done = [0, 0]

    def both(i):
        for n in range(2000):
            try:
                if i % 2:
                    ring.push(float(n))
                    done[0] += 1
                elif ring.pop(None) is not None:
                    done[1] += 1
            except RuntimeError:
                pass

    for outcome in [started(both, i) for i in range(4)]:
        finish(outcome)
    stats = ring.stats
    assert stats.pushed == stats.popped + stats.spilled + stats.dropped + len(ring)


@pytest.mark.parametrize("dtype", [None, "i8"])
def test_sinks_that_come_back(dtype):
    """A sink that pushes into the ring that evicts to it is refused; one that pops from it is a consumer."""
    ring = SpscRing(2, dtype, lambda item: ring.push(7))
    ring.extend([1, 2])
    for call in (lambda: ring.push(3), lambda: ring.extend([3, 4, 5]), ring.flush, lambda: ring.try_push(3) or 1 / 0):
        with pytest.raises((RuntimeError, ZeroDivisionError)):
            call()
    assert list(ring.pop_many()) == [1, 2]
    popped = []
    ring = SpscRing(2, dtype, lambda item: popped.append(ring.pop(None)))
    ring.extend([1, 2])
    ring.extend([3, 4])
    assert popped[0] is None and ring.stats.pushed == 4  # both are on their way out
    assert sum(ring.stats[1:]) + len(ring) == 4
    ring.clear()


@pytest.mark.parametrize("dtype", [None, "i8"])
def test_evicted_items_that_come_back_behind_newer_ones(dtype):
    """The sink refuses what it was sent, but the consumer has gone on meanwhile: it stays, and goes first."""
    got = []

    def sink(items):
        if not got:
            got.append(ring.pop())
            raise Boom
        got.extend([items] if dtype is None else items.tolist())

    ring = SpscRing(3, dtype, sink)
    ring.extend([1, 2, 3])
    with pytest.raises(Boom):
        ring.push(4)
    assert got == [2] and len(ring) == 2 and ring.stats == (3, 1, 0, 0)
    assert ring.pop() == 3
    ring.push(4)
    assert got == [2, 1] and list(ring.pop_many()) == [4]
    assert ring.stats == (4, 3, 1, 0)


@pytest.mark.parametrize("end", ["close", "drop"])
@pytest.mark.parametrize("dtype", [None, "i8"])
def test_refused_items_at_the_end(dtype, end):
    got = []

    def sink(items):
        if not got:
            got.append(ring.pop())
            raise Boom
        got.extend([items] if dtype is None else items.tolist())

    ring = SpscRing(3, dtype, sink)
    ring.extend([1, 2, 3])
    with pytest.raises(Boom):
        ring.push(4)
    if end == "close":
        ring.close()
        assert got == [2, 1] and ring.pop() == 3
    else:
        ring = None
        gc.collect()
        assert got == [2, 1, 3]


@pytest.mark.parametrize("make", [lambda: SpscRing.__new__(SpscRing), type("Lazy", (SpscRing,), {
    "__init__": lambda self: None})])
def test_before_init(make):
    ring = make()
    calls = [
        lambda: ring.push(1), lambda: ring.push(1.0), lambda: ring.extend([1]), lambda: ring.try_push(1),
        lambda: ring.try_extend([1]), ring.flush, ring.close, ring.pop, ring.pop_many, lambda: ring.read(1).__enter__(),
        lambda: ring.wait(0), ring.clear, lambda: ring.drain(CollectSink()), lambda: ring.send(1), ring.__enter__,
        lambda: ring._begin_wait(0), lambda: ring._request_wake(0), lambda: ring._end_wait(0),
        lambda: ArrayRing(1, sink=ring), lambda: ring.commit(0), lambda: next(ring.blocks(1)),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="never initialised"):
            call()
    assert len(ring) == 0 and ring.stats == (0, 0, 0, 0) and ring.capacity == 0 and ring.sink is None
    assert not ring.ended and not ring.closed and "SpscRing" in repr(ring)
    gc.collect()


def test_init_twice():
    ring = SpscRing(4)
    ring.extend([1, 2])
    with pytest.raises(RuntimeError, match="already"):
        ring.__init__(9)

    class Evil:
        def __init__(self, made):
            self.made = made

        def __index__(self):
            self.made.__init__(4)
            return 10**6

    other = SpscRing.__new__(SpscRing)
    with pytest.raises(RuntimeError, match="already"):
        other.__init__(Evil(other))
    assert ring.capacity == other.capacity == 4 and ring.pop_many() == [1, 2]


@pytest.mark.parametrize(
    "args, kwargs, error, match",
    [
        ((0,), {}, ValueError, "capacity"), ((-1,), {}, ValueError, "capacity"), ((2**62,), {}, MemoryError, None),
        ((2**70,), {}, MemoryError, None), ((2**58, "f8"), {}, MemoryError, None), (("4",), {}, TypeError, "capacity"),
        ((3.5,), {}, TypeError, "capacity"), ((4, object), {}, TypeError, "object"), ((4, "S"), {}, ValueError, "S16"),
        ((4, "nonsense"), {}, TypeError, "nonsense"), ((4, None, 5), {}, TypeError, "no sink"),
        ((4, "f8", ArrayRing(2, "i4")), {}, TypeError, "takes"),
        ((4, None, ArrayRing(2, "i4")), {}, TypeError, "takes"),
        ((4,), {"overflow": "drop"}, ValueError, "overflow"), ((4,), {"overflow": None}, ValueError, "overflow"),
        ((4,), {"overflow": []}, ValueError, "overflow"), ((4,), {"evict_block": 0}, ValueError, "at least 1"),
        ((4,), {"evict_block": 5}, ValueError, "evict_block"), ((4,), {"evict_block": 1.5}, TypeError, None),
        ((4, None, None, "spill"), {}, TypeError, "argument"),
    ],
)
def test_bad_arguments(args, kwargs, error, match):
    with pytest.raises(error, match=match):
        SpscRing(*args, **kwargs)


@pytest.mark.not_sanitized
def test_memory_of_a_refused_ring_is_given_back():
    sink = CollectSink()
    with pytest.raises(RecursionError):
        while True:
            before, sink = sink, BatchSink(1, sink)

    def mapped():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")

    if not os.path.exists("/proc/self/statm"):
        pytest.skip("no /proc")
    start = mapped()
    for _ in range(50):
        with pytest.raises(RecursionError):
            SpscRing(2**20, None, sink)
    assert mapped() - start < 50 * 2**24 // 4
    assert before is not sink


def test_after_close():
    ring = SpscRing(4, "f8")
    ring.extend([1, 2, 3])
    ring.close()
    ring.close()
    for call in (lambda: ring.push(1.0), lambda: ring.push(1), lambda: ring.extend([1.0]), lambda: ring.try_push(1),
                 lambda: ring.try_extend([1]), lambda: ring.reserve(1).__enter__(), ring.flush, ring.__enter__,
                 lambda: ring.send(np.zeros(1)), lambda: ArrayRing(2, sink=ring), lambda: ring.commit(0)):
        with pytest.raises(ValueError, match="closed"):
            call()
    assert ring.wait(3) and not ring.wait(4) and not ring.ended
    assert [block.tolist() for block in ring.blocks(2)] == [[1, 2], [3]]
    assert ring.ended and ring.stats == (3, 3, 0, 0)


def test_loans_out_of_turn():
    """Only the `with` that is open can end a read."""
    for dtype in (None, "i8"):
        ring = SpscRing(8, dtype)
        ring.extend(range(8))
        first, second = ring.read(2), ring.read()
        second.__exit__(None, None, None)
        first.__enter__()
        second.__exit__(None, None, None)
        with pytest.raises(RuntimeError, match="read"):
            second.__enter__()
        second.__exit__(None, None, None)
        first.__exit__(None, None, None)
        first.__exit__(None, None, None)
        assert ring.stats.popped == 2
        with ring.read(1):
            first.__exit__(None, None, None)
            assert ring.stats.popped == 2
        assert list(ring.pop_many()) == [3, 4, 5, 6, 7] and ring.stats.popped == 8
        reservation = Loan.__new__(Loan)
        with pytest.raises(RuntimeError):
            reservation.__enter__()
        reservation.__exit__(None, None, None)


def test_a_loan_can_be_used_again():
    ring = SpscRing(4, "i8")
    loan = ring.read(2)
    with loan as block:
        assert len(block) == 0
    ring.extend([1, 2, 3])
    for expected in ([1, 2], [3], []):
        with loan as block:
            assert block.tolist() == expected


def test_held_items_are_still_accounted_for():
    ring = SpscRing(4, "i8")
    ring.extend(range(4))
    with pytest.raises(Boom), ring.read():
        raise Boom
    ring.extend(range(4, 8))
    assert len(ring) == 8 and ring.is_full and ring.stats == (8, 0, 0, 0)
    assert ring.pop_many().tolist() == list(range(8))


@pytest.mark.parametrize("dtype", [None, "i8"])
def test_room_beside_a_reader(dtype):
    for overflow in OVERFLOWS:
        ring = SpscRing(4, dtype, overflow=overflow)
        ring.extend(range(4))
        with ring.read(3):
            assert ring.try_push(4) and ring.try_extend(iter([5, 6, 7])) == 2
        assert list(ring.pop_many()) == [3, 4, 5, 6]


def test_a_ring_sent_its_own_memory(memory):
    """A block that was lent before still shows the ring's memory, and a push may write over it."""
    ring = SpscRing(8, "i8")
    ring.extend(range(8))
    with ring.read() as block:
        pass
    for offset in range(1, 40):
        before = block.tolist()
        ring.extend(block)
        assert ring.pop_many().tolist() == before
        ring.push(offset)
        ring.pop()
        before = block.tolist()
        assert ring.try_extend(block[1:]) == 7
        before = before[1:] + block.tolist()[:1]
        ring.send(block[:1])
        assert ring.pop_many().tolist() == before


def test_into_a_strided_array(memory):
    """As much as there is, wherever the ring's memory ends."""
    ring = SpscRing(4, "i8")
    out = np.zeros(8, "i8")[::2]
    for start in range(20):
        ring.extend(range(start, start + 4))
        assert ring.pop_into(out[:1]) == 1 and ring.pop_into(out) == 3
        assert out[:3].tolist() == [start + 1, start + 2, start + 3]
        ring.push(0)
        ring.pop()


def test_no_pickle_no_sequence():
    ring = SpscRing(4, "f8")
    for call in (lambda: pickle.dumps(ring), lambda: iter(ring), lambda: ring[0]):
        with pytest.raises(TypeError):
            call()


def test_weak_references():
    ring = SpscRing(4, sink=CollectSink())
    ref = weakref.ref(ring)
    del ring
    assert ref() is None


# -- destructors and garbage ----------------------------------------------------------------------


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


# -- dropped, or alive at the end ------------------------------------------------------------------


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


# -- fork ------------------------------------------------------------------------------------------


@needs_fork
@pytest.mark.parametrize("overflow", ["spill", "block"])
def test_a_fork_beside_a_producer(overflow):
    """What it pushes just then is in the child as a whole, or not at all."""
    run_child("spsc/forks_beside_a_producer", overflow)


@needs_fork
@pytest.mark.parametrize("dtype", ["None", "'i8'"])
def test_fork(dtype):
    """A consumer waits, or reads, and a producer waits, in threads that the child hasn't got."""
    run_child("spsc/forks", dtype)


@needs_fork
def test_a_fork_inside_of_a_sink():
    run_child("spsc/forks_inside_of_a_sink")


@needs_fork
@pytest.mark.parametrize("dtype", ["None", "'i8'"])
@pytest.mark.parametrize("side", ["push", "drain", "a handler"])
def test_a_fork_inside_of_a_side_leaves_it_in_use(dtype, side):
    """The child is in the middle of it too; the other side is free there."""
    run_child("spsc/forks_inside_of_a_side", side, dtype)


# -- signals ----------------------------------------------------------------------------------------


INTERRUPTED = {
    "pop": "ring.pop(timeout=None)",
    "wait": "ring.wait(2)",
    "wait with a timeout": "ring.wait(2, timeout=60)",
    "blocks": "list(ring.blocks())",
    "read": "ring.read(timeout=None).__enter__()",
    "push": "full.push(1)",
    "extend": "full.extend([1, 2])",
    "reserve": "full.reserve(1).__enter__()",
    "chain": "ArrayRing(1, 'f8', full).extend([1, 2])",
}


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c():
    """All of them in one process: each is interrupted within a second, and loses nothing."""
    out = run_child("spsc/ctrl_c", *itertools.chain.from_iterable(INTERRUPTED.items()))
    assert out.splitlines() == [f"{name} prompt" for name in INTERRUPTED]


@pytest.mark.thread_unsafe(reason="signals are for the main thread")
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals")
def test_signals_during_waits():
    """A handler that doesn't raise doesn't end a wait."""
    calls = []
    before = signal.signal(signal.SIGALRM, lambda *args: calls.append(None))
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    try:
        ring = SpscRing(4)
        producer = started(lambda: (time.sleep(0.1), ring.push("x")))
        assert ring.pop(timeout=None) == "x"
        finish(producer)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert calls


def test_waiting_costs_no_cpu():
    ring = SpscRing(4)
    before = time.thread_time()
    assert ring.wait(1, timeout=0.3) is False
    assert time.thread_time() - before < 0.15


def test_attributes_from_other_threads(many_switches):
    ring = SpscRing(64, "f8", CollectSink())
    stop = threading.Event()

    def look():
        while not stop.is_set():
            assert 0 <= len(ring) <= 128
            stats = ring.stats
            assert min(stats) >= 0
            repr(ring), ring.is_full, ring.is_empty, ring.ended
        return True

    watcher = started(look)
    consumer = started(collect_blocks, ring)
    for n in range(3000):
        ring.push(float(n))
    ring.close()
    finish(consumer)
    stop.set()
    assert finish(watcher)


def test_subclasses_and_unhashable_ones():
    class Odd(SpscRing):
        __hash__ = None

        def __eq__(self, other):
            raise RuntimeError

    ring = Odd(2, "f8", CollectSink())
    ring.extend([1, 2, 3])
    assert ring.sink.items.tolist() == [1]


def test_a_sink_in_python_that_sends_on_to_a_ring():
    last = SpscRing(3, "f8")

    class Twice(Sink):
        def send(self, items):
            last.extend(items * 2)

    ring = SpscRing(2, "f8", Twice())
    ring.extend([1, 2, 3, 4])
    assert last.pop_many().tolist() == [2, 4]


def test_no_warnings_from_dropping_without_a_sink():
    with warnings.catch_warnings(action="error"):
        ring = SpscRing(2)
        ring.extend(itertools.repeat(1, 5))
        ring = None
        gc.collect()
