"""Threads that wait for each other: the one that closes the circle gets an error, and nothing is lost."""
import threading
import time

import pytest

from helpers.background import BOTH, as_items
from spill_ring import ArrayRing, BackgroundSink, CollectSink, LockedSink, MpscRing, ObjectRing, Sink

CIRCLE = "would wait for ever"


def within(seconds, call):
    """Call a function in a thread, which must end in time. Returns what it returned."""
    results = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    return results[0]


def persistent(call, *args):
    """Call until it raises no error of a circle; how many it raised."""
    for n in range(1000):
        try:
            call(*args)
        except RuntimeError as error:
            assert CIRCLE in str(error)
        else:
            return n
    raise AssertionError("it never succeeds")


class Echo(Sink):
    """Keeps what it gets, and calls `back` before that, whatever comes of it."""

    def __init__(self):
        self.got, self.errors, self.back = [], [], None

    def send(self, items):
        time.sleep(0.002)
        try:
            if self.back is not None:
                self.back()
        except RuntimeError as error:
            self.errors.append(str(error))
        self.got += [int(n) for n in items] if hasattr(items, "tolist") else [items]


@BOTH
@pytest.mark.parametrize("call", ["push", "flush", "close"])
def test_a_thread_that_comes_back_by_another_producer(typed, call):
    echo = Echo()
    ring = MpscRing(2, "i8" if typed else None, sink=BackgroundSink(echo, 2), producers=2)
    ring.producers[1].extend([-1, -1])
    notes = []

    def back():
        if call == "push":
            ring.producers[1].push(-1)
            notes.append(-1)
        elif not ring.producers[1].closed:
            getattr(ring.producers[1], call)()

    def produce():
        echo.back = back
        for n in range(40):
            persistent(ring.producers[0].push, n)
        echo.back = None
        persistent(ring.close)
        for producer in ring.producers:
            if len(producer):
                persistent(producer.flush)

    within(50, produce)
    assert [n for n in echo.got if n >= 0] == list(range(40))
    assert len(echo.got) == 42 + len(notes)
    assert all(CIRCLE in error or "in use" in error for error in echo.errors)


@BOTH
def test_two_background_sinks_that_send_to_each_other(typed):
    echoes = [Echo(), Echo()]
    sinks = [LockedSink(BackgroundSink(echo, 1)) for echo in echoes]
    sent = [[], []]

    def send(i, n):
        sinks[i].send(as_items([n], typed) if typed else n)
        sent[i].append(n)

    echoes[0].back, echoes[1].back = (lambda: send(1, -1)), (lambda: send(0, -1))
    within(50, lambda: [persistent(send, 0, n) for n in range(20)])
    echoes[0].back = echoes[1].back = None
    for sink in sinks:
        within(20, sink.close)
    assert [sorted(echo.got) for echo in echoes] == [sorted(numbers) for numbers in sent]
    assert [n for n in echoes[0].got if n >= 0] == list(range(20))


def test_two_locks_taken_in_both_orders():
    inside, errors = threading.Barrier(2, timeout=5), []

    class Cross(Sink):
        other = None

        def send(self, items):
            if len(items) == 1:
                inside.wait()
                self.other.send(items.repeat(2))

    sinks = [Cross(), Cross()]
    locked = [LockedSink(sink) for sink in sinks]
    sinks[0].other, sinks[1].other = locked[1], locked[0]

    def push(i):
        try:
            locked[i].send(as_items([1], True))
        except RuntimeError as error:
            errors.append(str(error))

    def both():
        thread = threading.Thread(target=push, args=(1,), daemon=True)
        thread.start()
        push(0)
        thread.join()

    within(20, both)
    assert len(errors) == 1 and CIRCLE in errors[0]


def test_a_lock_that_is_only_slow_is_waited_for():
    kept = CollectSink()

    class Slow(Sink):
        def send(self, items):
            time.sleep(0.05)
            kept.send(items)

    shared = LockedSink(Slow())
    rings = [ArrayRing(1, "i8", BackgroundSink(shared, 1)), ArrayRing(1, "i8", shared), ObjectRing(1)]
    threads = [threading.Thread(target=ring.extend, args=(range(10),)) for ring in rings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ring in rings:
        ring.close()
    assert sorted(kept.items.tolist()) == sorted([*range(10)] * 2)
