"""BackgroundSink: interrupts, the end of a sink or of the interpreter, and forks."""
import gc
import os
import sys
import threading
import time

import numpy as np
import pytest

from helpers.background import BOTH, Gate, as_items, hot_ring, of_its_own, run, threads_of
from helpers.model import Boom
from spill_ring import (
    BackgroundSink,
    CollectSink,
)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


# -- KeyboardInterrupt -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "call", ["sink.send(np.arange(3, 9))", "sink.flush()", "sink.close()", "ring.extend(range(3, 30))"]
)
def test_interrupted_while_it_waits(call):
    """Prompt; then the sink can still be used, and nothing is lost or doubled."""
    out, _ = run("interrupted_while_it_waits", call)
    assert out == ["through"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "then", ["sink.flush()", "sink.close()", "del sink", "sink.send(np.arange(3, 9)); sink.flush()"]
)
def test_a_flush_that_was_interrupted_is_not_mistaken_for_the_next_call(then):
    out, _ = run("interrupted_flush", then)
    assert out == ["9" if "send" in then else "3"]


def test_a_close_that_was_interrupted_when_it_could_not_be_stopped():
    out, _ = run("interrupted_close")
    assert out == ["inner", "True", "True", "True", "True"]


@pytest.mark.slow
def test_a_send_during_a_close_that_was_interrupted_does_not_wait_for_ever():
    out, errors = run("send_during_interrupted_close", options=["-W", "always"])
    assert out == ["True", "10"] * 2 and "last 10 items" in errors


@pytest.mark.slow
def test_an_interrupt_between_an_error_and_its_telling():
    """The signal has arrived when the producer finds the error: one of the two is raised, and then the other."""
    out, _ = run("interrupt_beside_an_error")
    assert out == ["through"]


# -- the end of a sink, or of the interpreter ------------------------------------------------------------------


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
    with pytest.warns(ResourceWarning, match=r"BackgroundSink was not closed .* last 5 items: Boom\(\)"):
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_at_exit_a_daemon_that_is_inside():
    """It may be cut short; what is not delivered is told."""
    out, errors = run("exits_with_a_daemon_inside", options=["-W", "always"])
    assert "ResourceWarning" in errors and "in use" in errors
    assert [n for n in out if n != "flush"] == list(map(str, range(len(out) - out.count("flush"))))


def test_after_exit_it_does_not_wait_for_a_thread_that_will_never_run():
    out, _ = run("pushes_after_exit")
    assert out[0] == "2" and "shutting down" in " ".join(out)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc's on_exit")
@pytest.mark.parametrize("wait", ["SpscRing(4).wait", "MpscRing(4, producers=2).wait", None])
def test_a_daemon_that_waits_sleeps_through_the_end(wait):
    """It wakes now and then, also in the second between the interpreter's end and that of the process."""
    run("sleeps_through_the_end", wait, status=1)


@pytest.mark.skipif(sys.maxsize < 2**32, reason="asks for a stack of 64 TiB")
def test_a_thread_that_can_not_be_started():
    run("starts_no_thread")


@pytest.mark.slow
@pytest.mark.parametrize("ring", ["ArrayRing(4, 'i8', sink)", "ObjectRing(4, sink)", "SpscRing(4, 'i8', sink)",
                                  "SpscRing(4, 'i8', sink, overflow='reject')"])
def test_one_that_was_never_sent_to_delivers_at_exit(ring):
    """CPython 3.12 starts no thread while the interpreter ends."""
    out, err = run("exits_never_sent_to", ring)
    assert out[:4] == ["0", "1", "2", "flush"] and set(out[4:]) <= {"flush"} and err == ""


@pytest.mark.slow
@needs_fork
def test_one_that_was_never_sent_to_says_nothing_in_a_forked_child():
    out, err = run("forks_never_sent_to", options=["-W", "ignore::DeprecationWarning"])
    assert [n for n in out if n != "flush"] == ["0", "1", "2", "3", "4"] and err == ""


# -- fork ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("inner", ["Slow()", "BatchSink(2, Slow())", "TeeSink(DropSink(), Slow())",
                                   "BackgroundSink(BatchSink(2, Slow()), 9)", "ArrayRing(1, 'i8', Slow())"])
@pytest.mark.parametrize("moment", ["waiting", "in the middle of a call", "an error untold"])
def test_a_fork(inner, moment):
    out, _ = run("forks", moment == "an error untold", inner, moment == "waiting")
    assert out == ["parent"]


@pytest.mark.slow
@needs_fork
def test_a_child_that_exits_or_drops_it():
    for end in ("sys.exit(7)", "del sink, ring; os._exit(7)"):
        out, _ = run("forks_and_ends", end)
        assert sorted(out) == sorted([*"01234"] * 2), (end, out)


@pytest.mark.parametrize("end", ["close", "drop", "bind again"])
def test_a_signal_handler_that_raises_as_the_thread_starts(monkeypatch, end):
    """The thread is there, and the sink doesn't know it: the two must not be freed under each other."""
    threads = []
    start = threading.Thread.start

    def interrupted(thread):
        threads.append(thread)
        start(thread)
        if len(threads) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    kept = CollectSink()
    sink = BackgroundSink(kept, 10)
    with pytest.raises(KeyboardInterrupt):
        sink.send(np.arange(3))
    if end == "bind again":
        sink.send(np.arange(3))
        sink.flush()
        assert kept.items.tolist() == [0, 1, 2]
    if end != "drop":
        sink.close()
    del sink
    gc.collect()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
