"""TeeSink."""
import gc

import pytest

from helpers.model import Boom
from helpers.sinks import Blocks
from spill_ring import (
    ArrayRing,
    CollectSink,
    Sink,
    TeeSink,
)


def test_tee_sink_owes_what_a_later_sink_refused():
    class Once(Blocks):
        fail = True

        def send(self, items):
            if self.fail:
                raise Boom
            super().send(items)

    first, last = CollectSink(), Once()
    ring = ArrayRing(2, "i8", TeeSink(first, last))
    ring.extend([0, 1])
    with pytest.raises(Boom):
        ring.push(2)  # the tee has taken item 0, and owes it
    assert first.items.tolist() == [0] and ring.stats == (2, 0, 1, 0)
    for _ in range(3):
        with pytest.raises(Boom):
            ring.extend([2, 3, 4])
        assert first.items.tolist() == [0]
    last.fail = False
    ring.extend([2, 3, 4])
    ring.close()
    assert first.items.tolist() == [0, 1, 2, 3, 4]
    assert [n for block in last.blocks for n in block] == [0, 1, 2, 3, 4]
    with pytest.raises(TypeError, match="at least one"):
        TeeSink()


def test_a_tee_that_is_dropped_pays_once():
    class Late(Sink):
        def __init__(self):
            self.tee = None
            self.got = []
            self.refused = []

        def send(self, items):
            if self.tee is None:
                raise ValueError("not yet")
            self.got.append(items)
            try:
                self.tee.send("more")
            except RuntimeError as error:
                self.refused.append(str(error))

    first, late = CollectSink(), Late()
    tee = TeeSink(first, late)
    with pytest.raises(ValueError, match="not yet"):
        tee.send("one")
    late.tee, got, refused = tee, late.got, late.refused
    del tee, late
    gc.collect()
    assert got == first.items == ["one"] and len(refused) == 1 and "in use" in refused[0]


def test_tee_sink_closes_all():
    class Bad(Blocks):
        def close(self):
            raise Boom

    last = CollectSink()
    with pytest.raises(Boom):
        TeeSink(Bad(), last).close()
    assert last.closed


def test_the_error_of_a_tee_is_the_sinks_own():
    class Nasty(Exception):
        def __bool__(self):
            raise ZeroDivisionError

    failing = True

    def sink(items):
        if failing:
            raise Nasty

    ring = ArrayRing(1, sink=TeeSink(CollectSink(), sink))
    with pytest.raises(Nasty):
        ring.extend([1, 2])
    failing = False
    ring.close()
