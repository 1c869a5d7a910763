"""BatchSink and ReduceSink."""
import numpy as np
import pytest

from helpers.model import Boom
from helpers.sinks import Blocks, spill
from spill_ring import (
    ArrayRing,
    BatchSink,
    CollectSink,
    ObjectRing,
    ReduceSink,
    TeeSink,
)


def test_batch_sink():
    blocks = Blocks()
    sink = BatchSink(4, blocks)
    ring = ArrayRing(2, "i8", sink)
    ring.extend(range(3))  # one item gathered
    assert blocks.blocks == [] and len(sink) == 1
    ring.extend(range(3, 16))  # the rest of a group, whole groups, the start of one
    assert blocks.blocks == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]] and len(sink) == 2
    ring.flush()
    assert blocks.blocks[3:] == [[12, 13, 14, 15]]
    ring.push(16)
    ring.close()
    assert blocks.blocks[4:] == [[16]]


def test_batch_sink_objects():
    got = []
    sink = BatchSink(3, got.append)
    ring = ObjectRing(1, sink)
    for n in range(4):
        ring.push(n)
    assert got == [0, 1, 2] and len(sink) == 0
    ring.push(4)
    assert got == [0, 1, 2] and len(sink) == 1
    ring.close()
    assert got == [0, 1, 2, 3, 4]


def test_reduce_sink_ufunc_and_chain():
    minutes, hours = ArrayRing(100, "f8"), ArrayRing(100, "f8")
    pyramid = TeeSink(minutes, ReduceSink(60, np.maximum, hours))
    seconds = ArrayRing(10, "f8", ReduceSink(60, np.maximum, pyramid))
    signal_ = np.random.default_rng(1).normal(size=4 * 3600 + 10)
    for block in np.array_split(signal_, 77):
        seconds.extend(block)
    assert np.array_equal(minutes.latest(100), signal_[: 4 * 3600].reshape(-1, 60).max(axis=1)[-100:])
    assert np.array_equal(hours.view(), signal_[: 4 * 3600].reshape(4, 3600).max(axis=1))


def test_reduce_sink_callable_makes_its_own_dtype():
    sink = CollectSink()
    reduce = ReduceSink(4, np.mean, sink)
    ring = spill(reduce, range(10), capacity=3)
    assert sink.items.dtype == "f8" and sink.items.tolist() == [1.5, 5.5]
    assert len(reduce) == 2  # flush leaves a group that isn't full
    ring.close()
    assert sink.items.tolist() == [1.5, 5.5, 8.5]


def test_reduce_sink_casts_to_the_ring_behind():
    coarse = ArrayRing(4, "f4")
    spill(ReduceSink(2, np.mean, coarse), range(4))
    assert coarse.view().tolist() == [0.5, 2.5]
    ring = ArrayRing(1, "i8", ReduceSink(2, np.mean, ArrayRing(4, "i8")))
    with pytest.raises(TypeError, match="same_kind"):
        ring.extend(range(4))


def test_reduce_sink_frames_and_objects():
    coarse = CollectSink()
    ring = ArrayRing(1, ("i8", (2,)), ReduceSink(2, np.add, coarse))
    ring.extend([[1, 10], [2, 20], [3, 30], [4, 40], [5, 50]])
    assert coarse.items.tolist() == [[3, 30], [7, 70]]

    words = CollectSink()
    ring = ObjectRing(1, ReduceSink(2, " ".join, words))
    ring.extend("abcde")
    assert words.items == ["a b", "c d"]
    ring.close()
    assert words.items == ["a b", "c d", "e"]


def test_reduce_that_raises_loses_nothing():
    broken = True

    def total(group):
        if broken:
            raise Boom
        return group.sum()

    sink = CollectSink()
    ring = ArrayRing(2, "i8", ReduceSink(3, total, sink))
    ring.extend(range(4))
    with pytest.raises(Boom):
        ring.extend([4, 5])
    pushed = ring.stats.pushed
    broken = False
    ring.extend(range(pushed, 9))
    ring.close()
    assert sink.items.tolist() == [3, 12, 21]


@pytest.mark.parametrize(
    "bad", [(0, np.add), (-1, np.add), (-(10**30), np.add), (2.5, np.add), ("2", np.add), (2, 3), (2, np.sin)]
)
def test_reduce_and_batch_refuse(bad):
    with pytest.raises((TypeError, ValueError)):
        ReduceSink(*bad, CollectSink())
    if bad[0] != 2:
        with pytest.raises((TypeError, ValueError)):
            BatchSink(bad[0], CollectSink())


def test_what_reduce_makes_must_be_items():
    for reduce in (lambda group: {"mean": group.mean()}, lambda group: None, np.frompyfunc(lambda a, b: [a, b], 2, 1)):
        ring = ArrayRing(1, "f8", ReduceSink(2, reduce, CollectSink()))
        with pytest.raises(TypeError, match="ObjectRing"):
            ring.extend(range(10))
        assert ring.stats.pushed == 0
    with pytest.raises(TypeError, match="ObjectRing"):
        CollectSink().send(np.array([[], {}], object))
