"""An item that a sink will never take can be looked at and skipped, wherever in a chain it is kept."""
import time

import numpy as np
import pytest

from helpers.background import BOTH, as_items
from spill_ring import (
    BackgroundSink,
    BatchSink,
    CollectSink,
    DiskSink,
    LockedSink,
    ObjectRing,
    ReduceSink,
    Sink,
    SpillLog,
    SpillRing,
    TeeSink,
)

POISON = 5


class Picky(Sink):
    """Never takes the number 5."""

    def __init__(self):
        self.got = []

    def send(self, items):
        numbers = [int(n) for n in np.atleast_1d(items)]
        if POISON in numbers:
            error = ValueError("poison")
            error.n_taken = numbers.index(POISON)
            self.got += numbers[: error.n_taken]
            raise error
        self.got += numbers


CHAINS = {
    "background": lambda sink: BackgroundSink(sink, 100),
    "batch": lambda sink: BatchSink(3, sink),
    "tee": lambda sink: TeeSink(CollectSink(), sink),
    "background in front of a batch": lambda sink: BackgroundSink(BatchSink(3, sink), 100),
    "batch in front of a background": lambda sink: BatchSink(2, BackgroundSink(sink, 100)),
    "two backgrounds and a lock": lambda sink: BackgroundSink(LockedSink(BackgroundSink(sink, 10)), 10),
    "tee of backgrounds": lambda sink: TeeSink(BackgroundSink(CollectSink(), 100), BackgroundSink(sink, 100)),
}


def persistent(call, *args):
    for _ in range(5):
        try:
            return call(*args)
        except ValueError as error:
            assert "poison" in str(error)


@BOTH
@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_the_poison_can_be_seen_and_skipped_and_the_rest_arrives(typed, chain):
    picky = Picky()
    sink = chain(picky)
    ring = SpillRing(2, "i8" if typed else None, sink)
    for n in range(10):
        persistent(ring.push, n)
    for _ in range(3):
        with pytest.raises(ValueError, match="poison"):
            ring.flush()
    time.sleep(0.05)
    pending = sink.pending()
    assert int(pending[0]) == POISON and isinstance(pending, np.ndarray if typed else list)
    assert [int(n) for n in sink.skip(1)] == [POISON]
    persistent(ring.close)  # a thread further behind may still have told its error nobody
    assert ring.closed and picky.got == [n for n in range(ring.stats.pushed) if n != POISON]
    assert len(sink.pending()) == 0 and len(sink.skip(3)) == 0


def test_the_case_of_an_object_that_no_encoder_takes(tmp_path):
    sink = BackgroundSink(DiskSink(tmp_path, encoder="msgpack"), 100)
    ring = ObjectRing(4, sink)
    poison = {"lock": object()}
    for i in range(40):
        try:
            ring.push(poison if i == 10 else i)
        except TypeError:
            pass
        time.sleep(0.001)
    ring.sink.pending()
    assert sink.pending()[0] is poison and sink.skip() == [poison]
    ring.close()
    assert len(SpillLog(tmp_path)) + 1 == ring.stats.pushed


@BOTH
def test_nothing_is_pending_where_all_is_well(typed):
    sink = BackgroundSink(CollectSink(), 10)
    sink.send(as_items(range(5), True) if typed else "item")
    assert len(sink.pending()) == 0 and len(sink.skip(2)) == 0
    sink.close()


def test_a_reduced_group_shows_what_has_yet_to_be_reduced():
    sink = ReduceSink(4, np.maximum, Picky())
    sink.send(np.arange(3))
    assert sink.pending().tolist() == [0, 1, 2] and sink.skip(2).tolist() == [0, 1] and len(sink) == 1
    with pytest.raises(ValueError, match="negative"):
        sink.skip(-1)
