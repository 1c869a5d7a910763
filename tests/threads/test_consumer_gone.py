"""The consumer goes away: a producer that waits for it, or pushes later, is told, and nothing is lost."""
import os
import threading
import time
from queue import Full

import pytest

from helpers.background import BOTH, as_items
from helpers.children import complete_child
from helpers.model import Boom
from spill_ring import ArrayRing, CollectSink, ConsumerGoneError, MpscRing, Sink, SpscRing


def make(typed, overflow, sink=None, capacity=4):
    return SpscRing(capacity, "i8" if typed else None, sink, overflow=overflow)


def in_thread(call):
    """Call it in a thread, and return when the system's thread has ended: `join` returns a little before that."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    while os.path.exists(f"/proc/self/task/{thread.native_id}"):
        time.sleep(0.001)


def numbers(sink):
    return [int(n) for n in sink.items]


@BOTH
def test_a_producer_that_waits_learns_that_the_thread_has_ended(typed):
    late = CollectSink()
    ring = make(typed, "block", late)
    taken = []

    def consume():
        for block in ring.blocks(1):
            taken.extend(int(n) for n in block)
            if len(taken) == 3:
                time.sleep(0.2)  # the producer waits meanwhile
                return

    thread = threading.Thread(target=consume)
    thread.start()
    pushed = 0
    with pytest.raises(ConsumerGoneError, match="the thread that took last ended"):
        for n in range(100):
            ring.push(n)
            pushed += 1
    thread.join()
    assert ring.stats.pushed == pushed == 7 and len(ring) == 4 and numbers(late) == []
    with pytest.raises(ConsumerGoneError):
        ring.push(pushed)  # which sends what is here, and takes nothing
    assert ring.stats.pushed == 7 and len(ring) == 0
    ring.push(7)  # there is room again, for whoever may come
    ring.close()
    assert taken + numbers(late) == list(range(8)) and late.closed


@BOTH
@pytest.mark.parametrize("overflow", ["spill", "reject", "block"])
@pytest.mark.parametrize("end", ["push", "flush", "close", "drop"])
def test_an_abandoned_ring_takes_nothing_and_sends_on_what_it_has(typed, overflow, end):
    late = CollectSink()
    ring = make(typed, overflow, late)
    ring.extend(as_items([0, 1, 2], typed))
    assert ring.pop() == 0
    ring.abandon()
    for call in (lambda: ring.push(3), lambda: ring.extend(as_items([3, 4], typed)), lambda: ring.try_push(3)):
        with pytest.raises(ConsumerGoneError, match="was abandoned"):
            call()
    if end == "flush":
        ring.flush()
    elif end == "close":
        ring.close()
    elif end == "drop":
        del ring, call
    assert numbers(late) == [1, 2]


@BOTH
def test_abandoning_ends_a_wait(typed):
    ring = make(typed, "block")
    errors = []

    def produce():
        try:
            ring.extend(as_items(range(10), typed))
        except ConsumerGoneError as error:
            errors.append(error)

    thread = threading.Thread(target=produce)
    thread.start()
    while len(ring) < 4:
        time.sleep(0.001)
    ring.abandon()
    thread.join(20)
    assert not thread.is_alive() and len(errors) == 1 and ring.stats.pushed == 4
    with pytest.raises(ConsumerGoneError):  # also the calls after the one that waited
        ring.push(10)


@BOTH
def test_every_ring_of_an_mpsc_ring_is_abandoned(typed):
    late = CollectSink()
    ring = MpscRing(4, "i8" if typed else None, late, producers=2)
    for n in range(4):
        ring.producers[n % 2].push(n)
    ring.abandon()
    for producer in ring.producers:
        with pytest.raises(ConsumerGoneError):
            producer.push(4)
    ring.close()
    assert sorted(numbers(late)) == [0, 1, 2, 3]


@BOTH
def test_one_that_rejects_says_why_there_is_no_room(typed):
    ring = make(typed, "reject")
    ring.extend(as_items(range(4), typed))
    with pytest.raises(Full):
        ring.push(4)
    in_thread(ring.pop)
    ring.push(4)  # there was room
    for call in (ring.push, ring.try_push, lambda n: ring.extend(as_items([n], typed))):
        with pytest.raises(ConsumerGoneError):
            call(5)
    assert [int(n) for n in ring.pop_many()] == [1, 2, 3, 4]
    ring.push(5)  # this thread took, so it is the consumer
    ring.extend(as_items(range(6, 9), typed))
    with pytest.raises(Full):
        ring.push(9)


@BOTH
def test_the_next_thread_that_takes_is_the_consumer(typed):
    ring = make(typed, "block")
    identities = set()
    for _ in range(5):  # the same identity again and again, where the system hands it out again
        in_thread(lambda: [ring.pop(None), identities.add(threading.get_ident())])
    stay, took = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: [ring.pop(None), took.set(), stay.wait()])
    thread.start()
    took.wait()
    ring.extend(as_items(range(4), typed))
    with pytest.raises(Full):
        ring.push(4, timeout=0.05)
    stay.set()
    with pytest.raises(ConsumerGoneError):
        ring.push(4)
    thread.join()


@BOTH
def test_a_closed_generator_is_not_the_end(typed):
    ring = make(typed, "block")
    ring.push(0)
    blocks = ring.blocks(1)
    next(blocks)
    blocks.close()
    ring.extend(as_items(range(4), typed))
    with pytest.raises(Full):
        ring.push(4, timeout=0.05)


@BOTH
def test_what_a_sink_refused_before_goes_first(typed):
    class Refuses(Sink):
        fails = True

        def __init__(self):
            self.items = []

        def send(self, items):
            if self.fails:
                raise Boom
            self.items += list(items) if typed else [items]

    sink = Refuses()
    ring = make(typed, "spill", sink)
    ring.extend(as_items(range(4), typed))
    with pytest.raises(Boom):
        ring.push(4)
    ring.abandon()
    with pytest.raises(Boom):
        ring.close()
    with pytest.raises(ConsumerGoneError):
        ring.push(4)
    sink.fails = False
    ring.close()
    assert [int(n) for n in sink.items] == [0, 1, 2, 3]


def test_a_thread_that_ends_inside_of_a_read():
    late = CollectSink()
    ring = make(True, "block", late)
    ring.extend([0, 1, 2, 3])
    loans = []

    def consume():
        loans.append(ring.read(2))
        loans[0].__enter__()

    in_thread(consume)
    pushed = 4
    with pytest.raises(ConsumerGoneError):
        while True:
            ring.push(pushed)
            pushed += 1
    ring.close()
    assert numbers(late) == list(range(pushed))
    loans[0].__exit__(None, None, None)


def test_in_a_chain_it_reaches_the_ring_in_front():
    late = CollectSink()
    channel = SpscRing(4, "i8", late, overflow="block")
    ring = ArrayRing(4, "i8", channel)
    in_thread(lambda: channel.pop(None))
    ring.extend(range(8))
    with pytest.raises(ConsumerGoneError):
        ring.push(8)
    assert ring.stats.pushed == 8 and ring.stats.spilled == 4
    with pytest.raises(ConsumerGoneError):
        ring.close()
    ring.close()  # the first one told the channel's producer, so this one sends what is there
    assert numbers(late) == list(range(8)) and late.closed


def test_a_wait_for_a_reservation():
    ring = make(True, "block")
    ring.extend([0, 1, 2, 3])
    in_thread(ring.pop)
    with pytest.raises(ConsumerGoneError), ring.reserve(2):
        raise AssertionError("there is no room")
    with ring.reserve(1) as block:
        block[:] = 4
    assert ring.pop_many().tolist() == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raise", "interrupt", "fork"])
@pytest.mark.parametrize("kind", ["spsc", "mpsc"])
def test_a_process_whose_consumer_fails_ends(how, kind):
    done = complete_child("spsc/consumer_fails", how, kind, status=0 if how == "fork" else 1 if how == "raise" else -2)
    assert "ConsumerGoneError" in done.stderr and done.stdout.split() == ["ended"] * (2 if kind == "mpsc" else 1)


def test_a_ring_is_forgotten_before_its_thread_ends():
    stay, took = threading.Event(), threading.Event()

    def consume():
        for ring in (SpscRing(4, "i8"), SpscRing(4), MpscRing(4, producers=3)):
            ring.pop(None)
        del ring
        took.set()
        stay.wait()

    thread = threading.Thread(target=consume)
    thread.start()
    took.wait()
    stay.set()
    thread.join()
