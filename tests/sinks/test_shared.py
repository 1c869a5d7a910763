"""LockedSink, ProducerSink and ChannelSink, which several threads share."""
import queue
import threading

import numpy as np
import pytest

from helpers.sinks import spill
from spill_ring import (
    ArrayRing,
    ChannelSink,
    CollectSink,
    LockedSink,
    ObjectRing,
    ProducerSink,
)


def test_locked_sink_many_producers():
    sink = CollectSink()
    shared = LockedSink(sink)
    rings = [ArrayRing(16, "i8", shared) for _ in range(4)]

    def produce(i):
        for n in range(200):
            rings[i].extend(np.full(7, i * 1000 + n))

    threads = [threading.Thread(daemon=True, target=produce, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ring in rings:
        ring.flush()
    for i in range(4):
        own = sink.items[sink.items // 1000 == i] % 1000
        assert own.tolist() == np.repeat(np.arange(200), 7).tolist()


def test_locked_sink_refuses_to_wait_for_itself():
    ring = ArrayRing(1, "i8")
    shared = LockedSink(lambda block: other.extend([1, 2]))
    ring = ArrayRing(1, "i8", shared)
    other = ArrayRing(1, "i8", shared)
    with pytest.raises(RuntimeError, match="in use"):
        ring.extend([1, 2])


def test_producer_sink():
    made = []

    def factory(i):
        made.append(i)
        return CollectSink()

    sink = ProducerSink(factory)
    ring = ArrayRing(1, "i8", sink)
    assert made == []
    ring.extend([1, 2, 3])
    assert made == [0] and sink.producer(0).items.tolist() == [1, 2]
    assert sink.producer(3).items.dtype == "i8" and made == [0, 3]
    ring.close()
    assert sink.producer(0).closed and sink.producer(3).closed
    with pytest.raises(TypeError):
        ProducerSink(3)


def test_channel_sink():
    for q in (queue.Queue(), queue.SimpleQueue()):
        spill(ChannelSink(q), range(5))
        assert [q.get().tolist() for _ in range(2)] == [[0, 1, 2, 3], [4]]
    with pytest.raises(TypeError, match="put"):
        ChannelSink([])
    full = queue.Queue(maxsize=1)
    ring = ObjectRing(1, full.put_nowait)
    ring.extend([1, 2])
    with pytest.raises(queue.Full):
        ring.push(3)
    assert list(ring) == [2] and ring.stats == (2, 0, 1, 0)
    ring.clear()
