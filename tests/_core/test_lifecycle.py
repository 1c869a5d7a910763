"""What is left in order where something raises on the way."""
import warnings

import pytest

from helpers.background import BOTH, as_items, hot_ring
from helpers.children import complete_child
from spill_ring import ArrayRing, BackgroundSink, BatchSink, CollectSink, LockedSink, Sink


class Unspeakable(Exception):
    def __repr__(self):
        raise ValueError("no repr")


class Fails(Sink):
    is_failing = True

    def __init__(self):
        self.got = []

    def send(self, items):
        if self.is_failing:
            raise Unspeakable
        self.got += list(items) if hasattr(items, "tolist") else [items]


@BOTH
def test_an_error_without_a_repr_leaves_a_background_sink_in_order(typed):
    slow = Fails()
    ring = hot_ring(typed, BackgroundSink(slow, 100))
    ring.extend(as_items(range(5), typed))
    with pytest.raises(RuntimeError, match="Unspeakable, whose repr fails"):
        ring.history[0]
    slow.is_failing = False
    with pytest.raises(Unspeakable):
        ring.close()
    ring.close()
    assert [int(n) for n in slow.got] == list(range(5))


@BOTH
def test_a_ring_that_is_dropped_warns_of_an_error_without_a_repr(typed):
    ring = hot_ring(typed, Fails())
    ring.extend(as_items(range(2), typed))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del ring
    assert ["last 2 items" in str(warning.message) for warning in caught] == [True]


def test_warnings_that_are_errors_keep_no_other_sink_from_its_items_at_exit():
    done = complete_child("misuse/exits_with_warnings_as_errors", options=["-W", "error"])
    assert sorted(done.stdout.split()) == ["good", "good"] and "ResourceWarning" in done.stderr


@pytest.mark.parametrize("make", [lambda sink: BackgroundSink(sink, 10**17), lambda sink: BatchSink(10**17, sink)])
def test_a_sink_that_could_not_be_made_keeps_no_target_open(make):
    target = CollectSink()
    ring = ArrayRing(2, "i8", target)
    with pytest.raises(MemoryError):
        make(target)
    ring.close()
    assert target.closed


@pytest.mark.parametrize("make", [LockedSink, lambda sink: BatchSink(3, sink), lambda sink: BackgroundSink(sink, 3)])
def test_a_sink_that_is_dropped_without_close_keeps_no_target_open(make):
    target = CollectSink()
    ring = ArrayRing(2, "i8", target)
    make(target)
    ring.close()
    assert target.closed
