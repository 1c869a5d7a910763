"""BackgroundSink: order, errors, and what it refuses."""
import pickle
import sys
import threading
import time
import warnings
from queue import Full

import numpy as np
import pytest

from helpers.background import BOTH, Gate, as_items, hot_ring, of_its_own, run, threads_of
from helpers.kinds import KINDS
from helpers.model import Boom
from spill_ring import (
    ArrayRing,
    BackgroundSink,
    CollectSink,
    ObjectRing,
    Sink,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("capacity", [1, 7, 1000])
def test_everything_comes_through_in_order(kind, capacity):
    slow = CollectSink()
    sink = BackgroundSink(slow, capacity)
    with kind.ring(3, sink) as ring:
        for n in range(0, 200, 10):
            ring.extend(kind.block(range(n, n + 10)))
        for n in range(200, 220):
            ring.push(kind.item(n))
    assert kind.numbers(slow.items) == list(range(220)) and sink.closed and slow.closed and len(sink) == 0
    assert ring.stats == (220, 0, 220, 0)
    with pytest.raises(ValueError, match="closed"):
        sink.send(kind.block([1]) if kind.dtype is not None else 1)
    with pytest.raises(ValueError, match="closed"):
        sink.flush()
    sink.close()


@BOTH
def test_the_producer_is_not_held_up_while_there_is_room(typed):
    gate = Gate(is_open=False)
    sink = BackgroundSink(gate, 100)
    ring = hot_ring(typed, sink)
    ring.extend(as_items(range(102), typed))  # returns, though nothing gets through
    assert len(sink) == 100 and gate.got == [] and sink.capacity == 100 and sink.overflow == "block"
    gate.gate.set()
    ring.close()
    assert gate.numbers() == list(range(102))


@BOTH
def test_a_full_one_blocks_the_producer(typed):
    gate = Gate(is_open=False)
    ring = hot_ring(typed, BackgroundSink(gate, 5))
    producer = threading.Thread(daemon=True, target=lambda: [ring.extend(as_items(range(100), typed)), ring.close()])
    producer.start()
    assert gate.inside.wait(10)
    assert producer.is_alive() and len(ring.sink) <= 10  # 5 that it is being sent, and 5 that wait
    gate.gate.set()
    producer.join()
    assert gate.numbers() == list(range(100)) and ring.stats == (100, 0, 100, 0)


@BOTH
def test_a_full_one_raises(typed):
    gate = Gate(is_open=False)
    sink = BackgroundSink(gate, 5, overflow="raise")
    ring = hot_ring(typed, sink)
    pushed = 0
    with pytest.raises(Full, match="its sink has yet to take"):
        for pushed in range(100):
            ring.push(pushed)
    stats = ring.stats
    assert 7 <= pushed <= 12 and stats == (pushed, 0, pushed - 2, 0)  # 5 that wait, and those that it is being sent
    assert len(ring) == 2 and sink.overflow == "raise"
    with pytest.raises(Full):
        for _ in range(10):
            ring.extend(as_items(range(ring.stats.pushed, 40), typed))
    # If the sink has begun meanwhile, there was room for the ring's two.
    assert ring.stats[2:] == (ring.stats.pushed - len(ring), 0) and ring.stats.pushed < 40
    gate.gate.set()
    while True:  # later
        try:
            ring.extend(as_items(range(ring.stats.pushed, 40), typed))
            break
        except Full:
            sink.flush()
    sink.flush()
    ring.close()
    assert gate.numbers() == list(range(40))


def test_a_block_larger_than_the_room_is_taken_in_part():
    gate = Gate(is_open=False)
    sink = BackgroundSink(gate, 5, overflow="raise")
    ring = ArrayRing(2, "i8", sink)
    with pytest.raises(Full):
        ring.extend(range(10))
    assert ring.stats == (5, 0, 5, 0) and len(sink) == 5
    gate.gate.set()
    sink.flush()
    ring.extend(range(5, 10))
    ring.close()
    assert gate.numbers() == list(range(10))


@BOTH
@pytest.mark.parametrize("part", [0, 1, 3])
@pytest.mark.parametrize("overflow", ["block", "raise"])
@pytest.mark.parametrize("capacity", [1, 4, 50])
def test_errors_reach_the_producer_and_nothing_is_lost(typed, part, overflow, capacity):
    gate = Gate(fail=5, part=part)
    ring = hot_ring(typed, BackgroundSink(gate, capacity, overflow))
    told = 0
    while (pushed := ring.stats.pushed) < 60:
        try:
            ring.push(pushed)
        except Boom:
            told += 1
        except Full:
            time.sleep(0.001)
    while not ring.closed:
        try:
            ring.close()
        except Boom:
            told += 1
        except Full:
            time.sleep(0.001)
    assert told == 5 and gate.numbers() == list(range(60)) and ring.stats == (60, 0, 60, 0)


def test_an_error_is_the_sinks_own_and_told_once():
    gate = Gate(fail=1)
    sink = BackgroundSink(gate, 10)
    sink.send(np.arange(3))
    with pytest.raises(Boom) as told:
        sink.flush()
    assert told.traceback[-1].name == "send"
    sink.flush()
    sink.send(np.arange(3, 5))
    sink.close()
    assert gate.numbers() == [0, 1, 2, 3, 4]


def test_what_kills_a_thread_does_not():
    for error in (SystemExit, KeyboardInterrupt, GeneratorExit):
        gate = Gate()
        sink = BackgroundSink(gate, 10)
        failing = [error]

        def flush():
            if failing:
                raise failing.pop()

        gate.flush = flush
        sink.send(np.arange(3))
        with pytest.raises(error):
            sink.flush()
        sink.close()
        assert gate.numbers() == [0, 1, 2]


@BOTH
def test_a_sink_that_always_fails(typed):
    gate = Gate(fail=10**9)
    sink = BackgroundSink(gate, 4)
    ring = hot_ring(typed, sink)
    with pytest.raises(Boom):
        for n in range(1000):
            ring.push(n)
    spilled = ring.stats.spilled
    assert ring.stats.pushed - spilled == len(ring) == 2
    assert min(spilled, 4) <= len(sink) <= spilled <= 8  # 4 that wait, and those that it is being sent
    for call in (ring.flush, ring.close, sink.flush, sink.close):
        for _ in range(3):
            with pytest.raises(Boom):
                call()
    assert not ring.closed and not sink.closed
    while not ring.closed:
        gate.fail = 0  # each time: the sink's thread may be counting it down just then
        try:
            ring.close()
        except Boom:  # told late
            pass
    assert gate.numbers() == list(range(ring.stats.pushed)) and sink.closed


def test_flush_waits_for_all_and_flushes_the_sink():
    gate = Gate(is_open=False)
    sink = BackgroundSink(gate, 100)
    sink.send(np.arange(50))
    threading.Timer(0.02, gate.gate.set).start()
    sink.flush()
    assert len(gate.got) == 50 and gate.flushes == 1 and len(sink) == 0
    gate.fail_flush = 2
    for _ in range(2):
        with pytest.raises(Boom):
            sink.flush()
    sink.flush()
    assert gate.flushes == 2


def test_close_joins_the_thread_and_can_be_called_again():
    kind = of_its_own(Gate)
    gate = kind()
    gate.fail_flush = 2
    sink = BackgroundSink(gate, 100)
    assert threads_of(kind) == []
    sink.send(np.arange(5))
    assert len(threads_of(kind)) == 1
    for _ in range(2):
        with pytest.raises(Boom):
            sink.close()
    assert not sink.closed
    sink.send(np.arange(5, 8))
    sink.close()
    assert sink.closed and gate.closed and gate.numbers() == list(range(8)) and threads_of(kind) == []
    sink.close()


def test_what_failed_is_not_done_again_unasked():
    for call in (BackgroundSink.flush, BackgroundSink.close):
        for _ in range(100):
            gate = Gate()
            gate.fail_flush = 1
            sink = BackgroundSink(gate, 10)
            sink.send(np.arange(3))
            with pytest.raises(Boom):
                call(sink)
            sink.send(np.arange(3, 5))
            while len(sink):
                time.sleep(0.0001)
            assert gate.flushes == 0 and not gate.closed
            sink.close()
            assert gate.numbers() == list(range(5)) and gate.closed


def test_one_that_was_never_used_has_no_thread():
    kind = of_its_own(CollectSink)
    for use in (lambda sink: None, Sink.flush, BackgroundSink.flush, BackgroundSink.close):
        inner = kind()
        sink = BackgroundSink(inner, 10)
        use(sink)
        assert threads_of(kind) == [] and len(sink) == 0 and sink
    assert inner.closed


# -- misuse ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args, error", [
    ((CollectSink(), 0), ValueError), ((CollectSink(), -1), ValueError), ((CollectSink(), 1.5), TypeError),
    ((CollectSink(), 10**30), MemoryError), ((CollectSink(), 4, "spill"), ValueError),
    ((CollectSink(), 4, None), ValueError), ((3, 4), TypeError), ((CollectSink, 4), TypeError), ((None, 4), TypeError),
    ((), TypeError),
])
def test_what_does_not_fit(args, error):
    with pytest.raises(error):
        BackgroundSink(*args)


def test_before_and_after_init():
    bare = BackgroundSink.__new__(BackgroundSink)
    for call in (bare.flush, bare.close, lambda: bare.send(1), lambda: ObjectRing(1, bare), bare.__enter__):
        with pytest.raises(RuntimeError, match="never initialised"):
            call()
    assert len(bare) == 0 and "BackgroundSink" in repr(bare)
    got = CollectSink()
    sink = BackgroundSink(got, 4)
    with pytest.raises(RuntimeError, match="already"):
        sink.__init__(CollectSink(), 8)
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(sink)
    sink.send("a")
    sink.close()
    assert got.items == ["a"] and repr(sink) == "BackgroundSink(<CollectSink: 1 items>, 4)"
    assert repr(BackgroundSink(CollectSink(), 4, "raise")).endswith(", 4, overflow='raise')")


@pytest.mark.not_sanitized
@pytest.mark.skipif(sys.maxsize < 2**32, reason="no capacity that can be asked for is too large here")
@pytest.mark.parametrize("inner", [CollectSink, lambda: ArrayRing(4, "i8")])
def test_a_capacity_without_memory(inner):
    sink = BackgroundSink.__new__(BackgroundSink)
    try:
        sink.__init__(inner(), 2**58)
    except MemoryError:
        pass
    for _ in range(3):
        with pytest.raises(MemoryError):
            sink.send(np.arange(3))
        with pytest.raises(MemoryError):
            ArrayRing(4, "i8", sink)
    sink.close()


def test_items_of_another_kind():
    sink = BackgroundSink(CollectSink(), 4)
    sink.send(np.arange(3))
    for ring in (lambda: ArrayRing(4, "f4", sink), lambda: ObjectRing(4, sink)):
        with pytest.raises(TypeError, match="takes"):
            ring()
    with pytest.raises(TypeError, match="takes"):
        ArrayRing(4, "f8", BackgroundSink(ArrayRing(4, "f4"), 4))
    with pytest.raises(TypeError):
        sink.send(np.array(["a"]))
    sink.close()


def test_attached_is_asked_once_and_may_refuse():
    class Picky(BackgroundSink):
        asked = 0

        def attached(self, dtype):
            self.asked += 1
            if self.asked == 1:
                raise Boom

    got = CollectSink()
    sink = Picky(got, 4)
    with pytest.raises(Boom):
        ArrayRing(2, "i8", sink)
    with ArrayRing(2, "i8", sink) as ring:
        ring.extend(range(9))
    assert got.items.tolist() == list(range(9)) and sink.asked == 2


def test_many_at_once():
    gates = [Gate() for _ in range(20)]
    rings = [ArrayRing(2, "i8", BackgroundSink(gate, 5)) for gate in gates]
    for n in range(50):
        for ring in rings:
            ring.push(n)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ring in rings:
            ring.close()
    assert all(gate.numbers() == list(range(50)) for gate in gates)


def test_a_fork_while_the_producer_is_inside():
    """Whoever was sending is not in the child, where the sink starts a thread of its own."""
    out, _ = run("forks_while_the_producer_is_inside")
    assert out == ["through"]


def test_a_second_ring_is_refused_while_the_first_is_attached(monkeypatch):
    """To start the thread lets other threads run, and one of them attaches a ring too."""

    class Thread(threading.Thread):
        def start(self):
            with pytest.raises(RuntimeError, match="in use"):
                ArrayRing(1, "f8", sink=sink)
            super().start()

    end = CollectSink()
    sink = BackgroundSink(end, 10)
    monkeypatch.setattr(threading, "Thread", Thread)
    with ArrayRing(1, "f8", sink=sink) as ring:
        ring.extend([1, 2, 3])
    assert end.items.tolist() == [1, 2, 3]
