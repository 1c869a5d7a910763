"""BackgroundSink in chains, and sinks that call back."""
import sys
import threading

import numpy as np
import pytest

from helpers.background import BOTH, Gate, as_items, hot_ring, run
from helpers.model import Boom
from spill_ring import (
    ArrayRing,
    BackgroundSink,
    BatchSink,
    CollectSink,
    LockedSink,
    MpscRing,
    ProducerSink,
    ReduceSink,
    Sink,
    SpscRing,
    TeeSink,
)

# -- chains ----------------------------------------------------------------------------------------------------


@BOTH
def test_in_front_of_batches(typed):
    got = CollectSink()
    with hot_ring(typed, BackgroundSink(BatchSink(10, got), 50)) as ring:
        ring.extend(as_items(range(100), typed))
        ring.flush()
        assert len(got) == 100
        ring.extend(as_items(range(100, 105), typed))
    assert list(got.items) == list(range(105))


def test_between_two_rings():
    got = CollectSink()
    warm = ArrayRing(10, "i8", BackgroundSink(got, 10))
    with ArrayRing(2, "i8", BackgroundSink(warm, 5)) as hot:
        for n in range(200):
            hot.push(n)
    assert warm.closed and got.items.tolist() == list(range(200))


@BOTH
def test_one_behind_another(typed):
    got = CollectSink()
    last = BackgroundSink(Gate(), 3)
    first = BackgroundSink(TeeSink(last, got), 2)
    with hot_ring(typed, first) as ring:
        for n in range(100):
            ring.push(n)
        ring.flush()
        assert last.sink.numbers() == list(got.items) == list(range(100)) and last.sink.flushes
    assert last.closed and last.sink.closed


def test_an_error_passes_two_threads():
    gate = Gate(fail=3, part=2)
    first = BackgroundSink(BackgroundSink(gate, 3), 5)
    told = 0
    with ArrayRing(2, "i8", first) as ring:
        while (pushed := ring.stats.pushed) < 50:
            try:
                ring.push(pushed)
            except Boom:
                told += 1
        while told < 3:
            try:
                ring.flush()
            except Boom:
                told += 1
    assert gate.numbers() == list(range(50))


def test_in_a_tee():
    one, two = Gate(fail=2), Gate()
    ring = ArrayRing(2, "i8", TeeSink(BackgroundSink(one, 5), BackgroundSink(two, 3)))
    while (pushed := ring.stats.pushed) < 50:
        try:
            ring.extend(range(pushed, pushed + 5))
        except Boom:
            pass
    while not ring.closed:
        try:
            ring.close()
        except Boom:
            pass
    assert one.numbers() == two.numbers() == list(range(50))


def test_behind_and_in_front_of_a_reduction():
    one, two = CollectSink(), CollectSink()
    with ArrayRing(2, "i8", ReduceSink(3, np.add, BackgroundSink(one, 5))) as ring:
        ring.extend(range(30))
    with ArrayRing(2, "i8", BackgroundSink(ReduceSink(3, np.add, two), 5)) as ring:
        ring.extend(range(30))
    assert one.items.tolist() == two.items.tolist() == np.arange(30).reshape(10, 3).sum(axis=1).tolist()


@BOTH
def test_behind_an_spsc_ring(typed):
    got = CollectSink()
    ring = SpscRing(4, "i8" if typed else None, BackgroundSink(got, 16))
    popped = []
    consumer = threading.Thread(daemon=True, target=lambda: [popped.extend(block) for block in ring.blocks(3)])
    consumer.start()
    for n in range(300):
        ring.push(n)
    ring.close()
    consumer.join()
    assert ring.ended and sorted([*popped, *got.items]) == list(range(300)) and got.closed


@BOTH
def test_one_for_each_producer(typed):
    got = [CollectSink() for _ in range(3)]
    sinks = ProducerSink(lambda i: BackgroundSink(BatchSink(7, got[i]), 10))
    ring = MpscRing(4, "i8" if typed else None, sinks, producers=3)
    threads = [threading.Thread(daemon=True, target=producer.extend, args=(range(100),)) for producer in ring.producers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ring.close()
    assert sorted(ring.pop_many()) == sorted([*range(96, 100)] * 3)
    assert ring.ended and len(ring.pop_many()) == 0  # sees the end, and closes the sinks
    assert [list(sink.items) for sink in got] == [list(range(96))] * 3 and all(sink.closed for sink in got)


def test_two_in_front_of_one_sink():
    for shared in (CollectSink(), LockedSink(CollectSink())):
        rings = [ArrayRing(2, "i8", BackgroundSink(shared, 10)) for _ in range(2)]

        def produce(i):
            while (pushed := rings[i].stats.pushed) < 100:
                try:
                    rings[i].push(1000 * i + pushed)
                except RuntimeError as error:
                    assert "in use" in str(error) and not isinstance(shared, LockedSink)
            while not rings[i].closed:
                try:
                    rings[i].close()
                except RuntimeError as error:
                    assert "in use" in str(error)

        threads = [threading.Thread(daemon=True, target=produce, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        items = shared.items if isinstance(shared, CollectSink) else shared.sink.items
        for i in range(2):
            assert items[items // 1000 == i].tolist() == list(range(1000 * i, 1000 * i + 100))
        assert shared.closed


def test_a_sink_that_somebody_else_has_closed():
    got = CollectSink()
    sink = BackgroundSink(got, 10)
    sink.send(np.arange(3))
    sink.flush()
    got.close()
    sink.flush()
    sink.send(np.arange(3, 5))
    for call in (sink.flush, sink.close, sink.flush):
        with pytest.raises(ValueError, match="CollectSink is closed"):
            call()
    assert len(sink) == 2 and not sink.closed
    with pytest.warns(ResourceWarning, match="BackgroundSink .* last 2 items.*CollectSink is closed"):
        del sink, call
    other = CollectSink()
    sink = BackgroundSink(other, 10)
    other.close()
    sink.close()


# -- no deadlock -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sink_that_calls_back_does_not_wait_for_itself():
    """Also a push into the hot ring that would have to wait for the sink's own thread."""
    run("calls_back")


def test_a_sink_that_pushes_back_where_there_is_room():
    class Echo(Sink):
        def send(self, items):
            for n in items:
                if n < 100:
                    echo.push(n + 100)

    echo = ArrayRing(50, "i8")
    ring = ArrayRing(2, "i8", BackgroundSink(Echo(), 50))
    ring.extend(range(20))
    ring.close()
    assert list(echo) == list(range(100, 120))


@pytest.mark.thread_unsafe(reason="the switch interval is the process's")
@BOTH
def test_a_sink_that_keeps_the_gil(typed):
    """The producer waits for room, and then for the end, while the thread wants the GIL."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(10)
    try:
        gate = Gate()
        with hot_ring(typed, BackgroundSink(gate, 2)) as ring:
            ring.extend(as_items(range(60), typed))
            for n in range(60, 100):
                ring.push(n)
        assert gate.numbers() == list(range(100))
    finally:
        sys.setswitchinterval(before)


def test_a_second_producer_is_refused():
    gate = Gate(is_open=False)
    sink = BackgroundSink(gate, 2)
    sink.send(np.arange(2))
    producer = threading.Thread(daemon=True, target=sink.send, args=(np.arange(2, 10),))
    producer.start()
    while producer.is_alive() and not gate.gate.is_set():
        try:
            sink.send(np.arange(0))
        except RuntimeError as error:
            assert "in use" in str(error)
            gate.gate.set()
    producer.join()
    sink.close()
    assert gate.numbers() == list(range(10))
