"""Cycles that lead through what a thread works with are collected, and their items still arrive."""
import gc
import queue
import threading
import time
import weakref

import numpy as np
import pytest

from helpers.background import BOTH, as_items, hot_ring
from spill_ring import BackgroundSink, BatchSink, ChannelSink, FnSink, LockedSink, TeeSink

WAYS = {
    "function": lambda take: take,
    "locked": lambda take: LockedSink(take),
    "batch": lambda take: BatchSink(3, take),
    "tee": lambda take: TeeSink(take, lambda items: None),
    "channel": lambda take: TeeSink(take, ChannelSink(Box(take))),
    "two threads": lambda take: BackgroundSink(LockedSink(FnSink(take)), 5),
}


class Box(queue.SimpleQueue):
    def __init__(self, owner):
        self.owner = owner


class Pipeline:
    def __init__(self, typed, way, arrived, fails=False):
        self.arrived, self.fails = arrived, fails
        self.ring = hot_ring(typed, BackgroundSink(way(self.take), 100), 4)

    def take(self, items):
        if self.fails:
            raise ValueError("no")
        self.arrived += [int(n) for n in np.atleast_1d(items)]


def collected(reference):
    for _ in range(50):
        gc.collect()
        if reference() is None:
            return True
        time.sleep(0.02)
    return False


@BOTH
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_cycle_is_collected_and_its_items_arrive(typed, way):
    arrived = []
    before = threading.active_count()
    pipeline = Pipeline(typed, way, arrived)
    pipeline.ring.extend(as_items(range(20), typed))
    reference = weakref.ref(pipeline)
    del pipeline
    assert collected(reference) and threading.active_count() == before
    assert arrived == list(range(20))


@BOTH
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_one_whose_sink_fails_is_collected_too(typed):
    pipeline = Pipeline(typed, WAYS["function"], [], fails=True)
    pipeline.ring.extend(as_items(range(20), typed))
    reference = weakref.ref(pipeline)
    del pipeline
    assert collected(reference)


def test_a_sink_that_is_dropped_by_its_own_sink_delivers_all():
    got, done = [], threading.Event()

    def take(items):
        held.clear()  # the last reference
        gc.collect()
        got.extend(items.tolist())
        if got[-1] == 9:
            done.set()

    sink = BackgroundSink(take, 100)
    held = [sink]
    sink.send(np.arange(10))
    del sink
    assert done.wait(20) and got == list(range(10))
