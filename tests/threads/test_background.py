"""A sink in a thread of its own: nothing lost, nothing twice, in order, errors told, and no deadlock."""
import gc
import os
import pickle
import sys
import threading
import time
import warnings
import weakref
from queue import Full

import numpy as np
import pytest

from helpers.children import complete_child
from helpers.kinds import KINDS
from helpers.model import Boom
from spill_ring import (
    ArrayRing,
    BackgroundSink,
    BatchSink,
    CollectSink,
    LockedSink,
    MpscRing,
    ObjectRing,
    ProducerSink,
    ReduceSink,
    Sink,
    SpscRing,
    TeeSink,
)


def run(name, *args, options=(), status=0):
    """What a child writes; one that hangs is shot after 30 seconds, and says where it was."""
    done = complete_child(f"background/{name}", *args, options=options, status=status, timeout=50)
    return done.stdout.split(), done.stderr


gates = weakref.WeakSet()


@pytest.fixture(autouse=True)
def open_gates():
    """Or a test that failed would leave a sink that the end of the interpreter waits for."""
    yield
    for gate in list(gates):
        gate.gate.set()


class Gate(Sink):
    """Holds on until it is let through; fails as often as `fail` says, having taken `part` items."""

    def __init__(self, is_open=True, fail=0, part=0):
        self.got, self.fail, self.part, self.flushes, self.fail_flush = [], fail, part, 0, 0
        self.gate, self.inside = threading.Event(), threading.Event()
        gates.add(self)
        if is_open:
            self.gate.set()

    def send(self, items):
        self.inside.set()
        self.gate.wait()
        items = list(items) if isinstance(items, np.ndarray) else [items]
        if self.fail:
            self.fail -= 1
            part = min(self.part, len(items) - 1)
            self.got += items[:part]
            raise Boom.after(part)
        self.got += items

    def flush(self):
        if self.fail_flush:
            self.fail_flush -= 1
            raise Boom
        self.flushes += 1

    def numbers(self):
        return [int(n) for n in self.got]


def of_its_own(kind):
    """A subclass whose threads `threads_of` tells from those of any other test, or of this one in another thread."""
    return type(f"{kind.__name__}{threading.get_ident()}", (kind,), {})


def threads_of(kind):
    return [thread for thread in threading.enumerate() if thread.name == f"BackgroundSink of {kind.__name__}"]


def as_items(numbers, typed):
    return np.array(numbers, "i8") if typed else list(numbers)


def hot_ring(typed, sink, capacity=2):
    return ArrayRing(capacity, "i8", sink) if typed else ObjectRing(capacity, sink)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
BOTH = pytest.mark.parametrize("typed", [True, False], ids=["typed", "objects"])


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
    with pytest.raises(Full, match="waits for its sink"):
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


# -- chains -------------------------------------------------------------------------------------------------


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


# -- no deadlock --------------------------------------------------------------------------------------------


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


# -- KeyboardInterrupt --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call", ["sink.send(np.arange(3, 9))", "sink.flush()", "sink.close()", "ring.extend(range(3, 30))"]
)
def test_interrupted_while_it_waits(call):
    """Prompt; then the sink can still be used, and nothing is lost or doubled."""
    out, _ = run("interrupted_while_it_waits", call)
    assert out == ["through"]


@pytest.mark.parametrize(
    "then", ["sink.flush()", "sink.close()", "del sink", "sink.send(np.arange(3, 9)); sink.flush()"]
)
def test_a_flush_that_was_interrupted_is_not_mistaken_for_the_next_call(then):
    out, _ = run("interrupted_flush", then)
    assert out == ["9" if "send" in then else "3"]


def test_a_close_that_was_interrupted_when_it_could_not_be_stopped():
    out, _ = run("interrupted_close")
    assert out == ["inner", "True", "True", "True", "True"]


def test_a_send_during_a_close_that_was_interrupted_does_not_wait_for_ever():
    out, errors = run("send_during_interrupted_close", options=["-W", "always"])
    assert out == ["True", "10"] * 2 and "last 10 items" in errors


def test_an_interrupt_between_an_error_and_its_telling():
    """The signal has arrived when the producer finds the error: one of the two is raised, and then the other."""
    out, _ = run("interrupt_beside_an_error")
    assert out == ["through"]


# -- the end of a sink, or of the interpreter --------------------------------------------------------------


@BOTH
def test_dropped_without_close_it_flushes(typed):
    kind = of_its_own(Gate)
    gate = kind(is_open=False)
    sink = BackgroundSink(gate, 10)
    ring = hot_ring(typed, sink)
    ring.extend(as_items(range(9), typed))
    threading.Timer(0.02, gate.gate.set).start()
    del ring, sink
    gc.collect()
    assert gate.numbers() == list(range(9)) and gate.flushes
    assert threads_of(kind) == []
    assert not gate.closed


@pytest.mark.parametrize("told", [False, True])
def test_dropped_without_close_it_warns_when_the_sink_fails(told):
    gate = Gate(fail=10**9)
    sink = BackgroundSink(gate, 10)
    sink.send(np.arange(5))
    if told:
        with pytest.raises(Boom):
            sink.flush()
    with pytest.warns(ResourceWarning, match=r"BackgroundSink was dropped .* last 5 items: Boom\(\)"):
        del sink
        gc.collect()


def test_dropped_with_an_error_that_nobody_saw_it_tries_again():
    gate = Gate(fail=1)
    sink = BackgroundSink(gate, 10)
    sink.send(np.arange(5))
    while gate.fail:
        time.sleep(0.001)
    del sink
    assert gate.numbers() == list(range(5))


def test_dropped_in_its_own_thread():
    class Last(Gate):
        def send(self, items):
            super().send(items)
            holder.clear()  # the last reference

    kind = of_its_own(Last)
    last = kind(is_open=False)
    holder = [BackgroundSink(last, 10)]
    holder[0].send(np.arange(3))
    [thread] = threads_of(kind)
    assert last.inside.wait(10)
    holder[0].send(np.arange(3, 6))
    last.gate.set()
    while thread.is_alive():  # without a GIL the thread that made an object has to run for it to be dropped
        time.sleep(0.001)
    assert last.numbers() == list(range(6)) and last.flushes == 1


def test_dropped_in_a_reference_cycle():
    class Cyclic(BackgroundSink):
        pass

    gate = Gate()
    sink = Cyclic(gate, 10)
    sink.itself = sink
    sink.send(np.arange(5))
    del sink
    gc.collect()
    assert gate.numbers() == list(range(5))


@pytest.mark.slow
@BOTH
def test_at_exit_everything_comes_through(typed):
    for script in (
        "",
        "sys.exit()",
        "del ring",
        "time.sleep(0.1)",
        "sink.flush()",
        "threading.Thread(target=ring.push, args=(9,), daemon=True).start(); time.sleep(0.1); ring.pop()",
    ):
        ring = "ArrayRing(2, 'i8', sink)" if typed else "ObjectRing(2, sink)"
        out, errors = run("exits", ring, script, options=["-W", "always"])
        assert [n for n in out if n != "flush"][:6] == list("012345") and out[-1] == "flush" and errors == "", script


def test_at_exit_a_sink_that_has_not_begun_begins():
    for make in ("ArrayRing(5, 'i8', sink)", "ObjectRing(5, sink)"):
        out, errors = run("exits_before_it_began", make, options=["-W", "always"])
        came = [n for n in out if n != "flush"]
        assert "can't start new thread" in errors or (came == ["0", "1", "2"] and errors == "")


@pytest.mark.slow
def test_at_exit_a_chain_comes_through():
    """What a BatchSink behind the thread holds too, when nothing waits in front of it."""
    for ring in (
        "ArrayRing(2, 'i8', BackgroundSink(BatchSink(4, Write(0.02)), 20))",
        "ArrayRing(2, 'i8', BackgroundSink(ArrayRing(3, 'i8', BackgroundSink(BatchSink(4, Write()), 9)), 5))",
        "ArrayRing(2, 'i8', BackgroundSink(TeeSink(BackgroundSink(Write(0.02), 5), DropSink()), 5))",
    ):
        out, errors = run("exits_with_a_chain", ring, options=["-W", "always"])
        assert [n for n in out if n != "flush"] == list(map(str, range(17))) and errors == "", ring


@pytest.mark.slow
def test_at_exit_a_sink_that_fails_warns():
    for ring in (
        "ArrayRing(2, 'i8', BackgroundSink(Fail(), 20))",
        "ObjectRing(2, BackgroundSink(BackgroundSink(Fail(), 20), 20))",
        "ArrayRing(2, 'i8', BackgroundSink(BatchSink(3, Fail()), 20))",
    ):
        for seconds in (0, 0.05):
            out, errors = run("exits_with_a_sink_that_fails", ring, seconds, options=["-W", "always"])
            assert out == [] and "ResourceWarning" in errors and "disk full" in errors, errors


def test_at_exit_a_daemon_that_is_inside():
    """It may be cut short; what is not delivered is told."""
    out, errors = run("exits_with_a_daemon_inside", options=["-W", "always"])
    assert "ResourceWarning" in errors and "in use" in errors
    assert [n for n in out if n != "flush"] == list(map(str, range(len(out) - out.count("flush"))))


def test_after_exit_it_does_not_wait_for_a_thread_that_will_never_run():
    out, _ = run("pushes_after_exit")
    assert out[0] == "2" and "shutting down" in " ".join(out)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc's on_exit")
@pytest.mark.parametrize("wait", ["SpscRing(4).wait", "MpscRing(4, producers=2).wait", None])
def test_a_daemon_that_waits_sleeps_through_the_end(wait):
    """It wakes now and then, also in the second between the interpreter's end and that of the process."""
    run("sleeps_through_the_end", wait, status=1)


@pytest.mark.skipif(sys.maxsize < 2**32, reason="asks for a stack of 64 TiB")
def test_a_thread_that_can_not_be_started():
    run("starts_no_thread")


@pytest.mark.parametrize("ring", ["ArrayRing(4, 'i8', sink)", "ObjectRing(4, sink)", "SpscRing(4, 'i8', sink)",
                                  "SpscRing(4, 'i8', sink, overflow='reject')"])
def test_one_that_was_never_sent_to_delivers_at_exit(ring):
    """CPython 3.12 starts no thread while the interpreter ends."""
    out, err = run("exits_never_sent_to", ring)
    assert out[:4] == ["0", "1", "2", "flush"] and set(out[4:]) <= {"flush"} and err == ""


@needs_fork
def test_one_that_was_never_sent_to_says_nothing_in_a_forked_child():
    out, err = run("forks_never_sent_to", options=["-W", "ignore::DeprecationWarning"])
    assert [n for n in out if n != "flush"] == ["0", "1", "2", "3", "4"] and err == ""


# -- fork ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("inner", ["Slow()", "BatchSink(2, Slow())", "TeeSink(DropSink(), Slow())",
                                   "BackgroundSink(BatchSink(2, Slow()), 9)", "ArrayRing(1, 'i8', Slow())"])
@pytest.mark.parametrize("moment", ["waiting", "in the middle of a call", "an error untold"])
def test_a_fork(inner, moment):
    out, _ = run("forks", moment == "an error untold", inner, moment == "waiting")
    assert out == ["parent"]


@needs_fork
def test_a_child_that_exits_or_drops_it():
    for end in ("sys.exit(7)", "del sink, ring; os._exit(7)"):
        out, _ = run("forks_and_ends", end)
        assert sorted(out) == sorted([*"01234"] * 2), (end, out)


# -- misuse -------------------------------------------------------------------------------------------------


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
