"""SpscRing: a side that waits for the other, the end of a ring, and signals meanwhile."""
import gc
import itertools
import os
import signal
import threading
import time
import warnings
from queue import Full

import numpy as np
import pytest

from helpers.children import run_child
from helpers.spsc import collect_blocks, finish, started, waits
from spill_ring import (
    CollectSink,
    DropSink,
    Sink,
    SpscRing,
)

SHORT = 0.01


# -- waiting, and the end --------------------------------------------------------------------------------------


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


# -- signals ---------------------------------------------------------------------------------------------------

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


@pytest.mark.slow
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
