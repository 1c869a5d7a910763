"""SpscRing: what it refuses."""
import gc
import os
import pickle
import threading
import weakref

import numpy as np
import pytest

from helpers.model import Boom
from helpers.spsc import OVERFLOWS, finish, started, waits
from spill_ring import (
    ArrayRing,
    BatchSink,
    CollectSink,
    SpillRing,
    SpscRing,
)
from spill_ring.rings.loan import Loan


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
    is_closed = threading.Event()  # until then the consumer's thread is alive, so that the rest is the consumer's
    waiting = started(lambda: [warm.wait(3, 10), warm.pop(), is_closed.wait(10)])
    waits(warm, "consumer")
    hot.extend([1, 2])
    assert hot.flush() == 2 and len(warm) == 2 and len(sink) == 0
    hot.extend([3, 4])
    assert warm.flush() == 0
    hot.close()
    is_closed.set()
    assert finish(waiting) == [True, 1, True] and warm.closed and len(warm) == 3
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
