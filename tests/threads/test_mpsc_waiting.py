"""MpscRing: waiting for several producers, and the end."""
import asyncio
import sys
import threading
import time

import numpy as np
import pytest

from helpers.model import Boom
from spill_ring import CollectSink, MpscRing, Sink, SpscRing

EACH = 1000  # producer i pushes the numbers from i * EACH on

# -- the end ---------------------------------------------------------------------------------------------------


def test_the_end_comes_when_all_have_closed():
    ring = MpscRing(10, "i8", producers=3)
    ring.producers[0].extend([1, 2])
    ring.producers[0].close()
    assert not ring.closed and not ring.wait(3, timeout=0)
    ring.producers[1].push(3)
    assert ring.wait(3)
    ring.producers[1].close()
    ring.producers[2].close()
    assert ring.closed and not ring.ended and not ring.wait(4)
    assert [block.tolist() for block in ring.blocks(2)] in ([[1, 3], [2]], [[3, 1], [2]], [[1, 2], [3]])
    assert ring.ended and ring.pop_many(timeout=None).tolist() == [] and ring.pop(7, timeout=None) == 7
    with pytest.raises(IndexError):
        ring.pop(timeout=None)
    for call in (ring.producers[0].push, ring.producers[1].try_push):
        with pytest.raises(ValueError, match="closed"):
            call(1)
    ring.close()


def test_leftovers_go_to_the_sink_by_flush():
    sink = CollectSink()
    ring = MpscRing(4, "i8", sink, producers=3)
    ring.producers[1].extend(range(3))
    ring.close()
    assert ring.closed and not ring.ended and not sink.closed
    assert ring.flush() == 3
    assert sink.items.tolist() == [0, 1, 2] and sink.closed and ring.ended
    with pytest.raises(ValueError, match="closed"):
        ring.flush()


def test_a_drain_that_finds_the_end_closes_the_sink():
    sink = CollectSink()
    ring = MpscRing(4, "i8", sink, producers=2)
    ring.producers[0].extend(range(3))
    ring.close()
    assert ring.drain(CollectSink()) == 3 and sink.closed and len(sink) == 0


def test_flush_while_one_producer_is_through():
    sink = CollectSink()
    ring = MpscRing(4, "i8", sink, producers=2)
    ring.producers[0].close()
    ring.producers[1].extend(range(3))
    assert ring.flush() == 3 and sink.items.tolist() == [0, 1, 2]


def test_leftovers_go_to_the_sink_when_the_ring_is_dropped():
    for closed in (False, True):
        sink = CollectSink()
        ring = MpscRing(4, None, sink, producers=2)
        ring.producers[1].extend("abc")
        if closed:
            ring.close()
        del ring
        assert sink.items == ["a", "b", "c"]


def test_a_producer_is_busy_when_all_are_closed():
    ring = MpscRing(4, "f8", producers=3)
    with ring.producers[1].reserve(1) as block:
        block[:] = 5
        with pytest.raises(RuntimeError, match="reserve"):
            ring.close()
        assert [producer.closed for producer in ring.producers] == [True, False, True]
    ring.close()
    assert ring.closed and ring.pop() == 5.0


def test_a_sink_that_can_not_be_closed():
    class Bad(Sink):
        broken = True

        def send(self, items):
            pass

        def close(self):
            if self.broken:
                raise Boom
            super().close()

    bad = Bad()
    ring = MpscRing(4, "f8", bad, producers=2)
    with pytest.raises(Boom):
        ring.close()
    assert ring.closed
    bad.broken = False
    assert ring.pop_many(timeout=None).tolist() == [] and bad.closed


def test_producers_that_are_kept_go_on():
    sink = CollectSink()
    producers = MpscRing(4, "i8", sink, producers=2).producers
    threads = [threading.Thread(daemon=True, target=producer.extend, args=(range(100),)) for producer in producers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert producers[0].pop_many().tolist() == producers[1].pop_many().tolist() == [96, 97, 98, 99]
    assert not producers[0].wait(timeout=0.001) and len(sink) == 192


# -- waiting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 4, 5, 11, 12])
def test_wait_for_items_that_are_spread(n):
    """One ring is full before, one is closed with nothing in it; the others are pushed to while the consumer waits."""
    ring = MpscRing(4, "i8", producers=4)
    ring.producers[0].extend(range(4))
    ring.producers[3].close()

    def produce():
        for _ in range(4):
            for i in (1, 2):
                time.sleep(0.001)
                ring.producers[i].push(0)
            ring.producers[0].push(0)  # evicts: it doesn't grow

    thread = threading.Thread(daemon=True, target=produce)
    thread.start()
    assert ring.wait(n) and len(ring) >= n
    thread.join()


def test_wait_sees_the_end_of_a_full_ring():
    ring = MpscRing(4, "i8", producers=2)
    ring.producers[0].extend(range(4))

    def close():
        for producer in reversed(ring.producers):
            time.sleep(0.01)
            producer.close()

    thread = threading.Thread(daemon=True, target=close)
    thread.start()
    assert not ring.wait(5) and ring.closed
    thread.join()


def test_wait_async_sees_the_end_of_a_full_ring():
    ring = MpscRing(4, "i8", producers=2)
    ring.producers[0].extend(range(4))

    async def consume():
        waiting = asyncio.create_task(ring.wait_async(5))
        for producer in reversed(ring.producers):
            await asyncio.sleep(0.01)
            producer.close()
        return await asyncio.wait_for(waiting, 10)

    assert asyncio.run(consume()) is False


def test_wait_for_too_many():
    ring = MpscRing(4, "i8", producers=3)
    for n in (13, 2**70):
        with pytest.raises(ValueError, match="12 at most"):
            ring.wait(n)
        with pytest.raises(ValueError, match="12 at most"):
            asyncio.run(ring.wait_async(n))
    for n in (-1, 1.5, "1"):
        with pytest.raises((TypeError, ValueError)):
            ring.wait(n)
    for call in (ring.blocks, ring.ablocks):
        with pytest.raises(ValueError, match="no items"):
            call(0)
    assert ring.wait(0) and not ring.wait(12, timeout=0) and ring.pop_many(0).tolist() == []


def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.parametrize("make", [
    lambda sink: SpscRing(1, "i8", sink), lambda sink: SpscRing(1, None, sink),
    lambda sink: MpscRing(1, "i8", sink, producers=1), lambda sink: MpscRing(1, None, sink, producers=2),
], ids=["spsc", "spsc objects", "mpsc", "mpsc objects"])
@pytest.mark.parametrize("way", ["blocks", "pop", "async"])
def test_a_stream_does_not_end_while_a_sink_is_slow(make, way):
    """What was there is evicted before the consumer has the GIL again, and there is nothing while the sink has it."""
    sent = []
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        ring = make(lambda items: (spin(2e-4), sent.append(items)))
        producers = getattr(ring, "producers", [ring])

        def produce():
            for n in range(150):
                producers[0].push(n)
                if n % 3 == 0:
                    time.sleep(0)
            for producer in producers:
                producer.close()

        thread = threading.Thread(daemon=True, target=produce)
        thread.start()
        got = consume(ring, way)
        assert ring.ended
        thread.join()
        assert len(got) + len(sent) == 150 and got == sorted(got) and ring.stats.popped == len(got)
    finally:
        sys.setswitchinterval(before)


def consume(ring, way):
    got = []
    if way == "blocks":
        for block in ring.blocks():
            got += list(block)
    elif way == "pop":
        while (item := ring.pop(None, timeout=None)) is not None:
            got.append(item)
    else:
        async def collect():
            async for block in ring.ablocks():
                got.extend(block)

        asyncio.run(collect())
    return got


def test_blocks_while_producers_run():
    ring = MpscRing(1000, "i8", producers=3)
    threads = [
        threading.Thread(daemon=True, target=lambda i=i: [ring.producers[i].push(i * EACH + n) for n in range(500)])
        for i in range(3)
    ]
    closer = threading.Thread(daemon=True, target=lambda: [thread.join() for thread in threads] and ring.close())
    for thread in [*threads, closer]:
        thread.start()
    got = np.concatenate([block for block in ring.blocks(64)])
    closer.join()
    for i in range(3):
        assert got[got // EACH == i].tolist() == list(range(i * EACH, i * EACH + 500))


def test_ablocks_while_producers_run():
    ring = MpscRing(1000, None, producers=3)
    threads = [
        threading.Thread(daemon=True, target=lambda i=i: [ring.producers[i].push((i, n)) for n in range(200)])
        for i in range(3)
    ]
    closer = threading.Thread(daemon=True, target=lambda: [thread.join() for thread in threads] and ring.close())

    async def collect():
        for thread in [*threads, closer]:
            thread.start()
        return [item async for block in ring.ablocks(50) for item in block]

    got = asyncio.run(collect())
    closer.join()
    for i in range(3):
        assert [n for j, n in got if i == j] == list(range(200))


def test_wait_async_that_is_cancelled_leaves_the_ring_usable():
    ring = MpscRing(4, "i8", producers=2)

    async def cancel():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ring.wait_async(3), 0.01)
        ring.producers[0].extend(range(2))
        ring.producers[1].push(9)
        return await ring.wait_async(3)

    assert asyncio.run(cancel()) and sorted(ring.pop_many().tolist()) == [0, 1, 9]
