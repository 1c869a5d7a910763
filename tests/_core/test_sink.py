"""The protocol of a sink: what send gets and returns, binding, closing, and errors."""
import gc
import itertools
import queue
import threading

import numpy as np
import pytest

import spill_ring
from helpers.model import Boom
from helpers.sinks import Blocks, spill
from spill_ring import (
    ArrayRing,
    BatchSink,
    ChannelSink,
    CollectSink,
    DropSink,
    FileSink,
    FnSink,
    LockedSink,
    ObjectRing,
    ProducerSink,
    ReduceSink,
    Sink,
    TeeSink,
)


def test_one_sink_call_for_each_evicted_run():
    sink = Blocks()
    ring = ArrayRing(8, "i8", sink)
    ring.extend(range(8))
    ring.extend(range(8, 14))
    ring.extend(range(14, 40))
    assert sink.blocks == [list(range(6)), list(range(6, 14)), list(range(14, 32))]
    assert list(ring) == list(range(32, 40))


def test_a_block_may_be_kept():
    kept = []
    ring = ArrayRing(4, "i8", kept.append)
    ring.extend(range(4))
    for start in range(4, 100, 4):
        ring.extend(range(start, start + 4))
    assert np.concatenate(kept).tolist() == list(range(96))


def test_send_by_hand():
    for sink, sent, expected in [
        (CollectSink(), [np.arange(3), np.arange(2)], [0, 1, 2, 0, 1]),
        (CollectSink(), ["a", 5], ["a", 5]),
    ]:
        for items in sent:
            sink.send(items)
        assert list(sink.items) == expected
    frames = CollectSink()
    frames.send(np.zeros((2, 3), "f4"))
    assert frames.items.shape == (2, 3)


def test_a_sink_that_wraps_another():
    class Positive(Sink):
        def __init__(self, sink):
            self.sink = sink

        def send(self, items):
            self.sink.send(items[items > 0])

    collected = CollectSink()
    spill(Positive(collected), [-1, 2, -3, 4])
    assert collected.items.tolist() == [2, 4]


def test_send_that_python_overrides_is_called():
    class Loud(CollectSink):
        def send(self, items):
            heard.append(len(items))
            super().send(items)

    heard = []
    sink = Loud()
    spill(sink, range(5))
    assert heard == [4, 1] and sink.items.tolist() == [0, 1, 2, 3, 4]

    class LoudRing(ArrayRing):
        def send(self, items):
            heard.append("ring")
            super().send(items)

    ring = LoudRing(8, "i8")
    spill(ring, range(3))
    assert heard[2:] == ["ring", "ring"] and list(ring) == [0, 1, 2]


def test_a_sink_without_send():
    class Nothing(Sink):
        pass

    ring = ArrayRing(1, sink=Nothing())
    with pytest.raises(NotImplementedError, match=r"Nothing defines no send"):
        ring.extend([1.0, 2.0])
    assert ring.stats == (0, 0, 0, 0)
    with pytest.raises(NotImplementedError):
        ObjectRing(1, Nothing()).extend([1, 2])


def test_attached_refuses_once_for_all():
    class Floats(Sink):
        def attached(self, dtype):
            if dtype != "f8":
                raise TypeError(f"only f8, not {dtype}")

        def send(self, items):
            pass

    sink = Floats()
    with pytest.raises(TypeError, match="only f8"):
        ArrayRing(1, "i4", sink)
    ArrayRing(1, "f8", sink)
    with pytest.raises(TypeError, match="takes items of"):
        ArrayRing(1, "i4", sink)


def test_n_taken_of_an_exception_leaves_the_rest_in_the_ring():
    class Half(Sink):
        def send(self, items):
            raise Boom.after(len(items) // 2)

    ring = ArrayRing(6, "i8", Half())
    ring.extend(range(6))
    with pytest.raises(Boom):
        ring.flush()
    assert list(ring) == [3, 4, 5] and ring.stats == (6, 0, 3, 0)
    ring.clear()


@pytest.mark.parametrize("n_taken", [-5, 10**6, 10**30, "3", None])
def test_n_taken_is_not_believed_beyond_the_block(n_taken):
    class Liar(Sink):
        def send(self, items):
            raise Boom.after(n_taken)

    ring = ArrayRing(4, "i8", Liar())
    ring.extend(range(4))
    with pytest.raises(Boom):
        ring.flush()
    assert len(ring) == (0 if n_taken in (10**6, 10**30) else 4)
    ring.clear()


def counting(kind, returns):
    """A sink, or an object with `send`, that takes what `returns` says of so many items, and what it got."""
    got = []

    class Counting(Sink if kind == "Sink" else object):
        def send(self, items):
            result = returns(len(items))
            got.extend(items[: len(items) if result is None else result].tolist())
            return result

    return Counting(), got

SENDERS = pytest.mark.parametrize("kind", ["Sink", "object"])


@SENDERS
def test_send_may_return_how_many_it_took(kind):
    """The rest is sent again at once, until all is taken."""
    sink, got = counting(kind, lambda n: (n + 1) // 2)
    ring = ArrayRing(6, "i8", sink)
    ring.extend(range(20))
    assert got == list(range(14)) and ring.stats == (20, 0, 14, 0)
    ring.close()
    assert got == list(range(20))


@SENDERS
def test_send_that_takes_no_more_blocks(kind):
    left = [5]

    def returns(n):
        taken = min(n, left[0])
        left[0] -= taken
        return taken

    sink, got = counting(kind, returns)
    ring = ArrayRing(4, "i8", sink)
    ring.extend(range(8))
    with pytest.raises(BlockingIOError, match="took 1 of 4"):
        ring.flush()
    assert got == list(range(5)) and ring.view().tolist() == [5, 6, 7] and ring.stats == (8, 0, 5, 0)
    with pytest.raises(BlockingIOError):
        ring.extend([8, 9])
    assert ring.view().tolist() == [5, 6, 7] and ring.stats.pushed == 8
    left[0] = 100
    ring.close()
    assert got == list(range(8))


@SENDERS
@pytest.mark.parametrize("result", [True, False, -1, 5, 1.0, "4", [], np.int64(2)], ids=repr)
def test_send_that_returns_something_else(kind, result):
    """Nothing of that call counts as taken."""

    class Wrong(Sink if kind == "Sink" else object):
        def send(self, items):
            return result

    ring = ArrayRing(4, "i8", Wrong())
    ring.extend(range(4))
    with pytest.raises(TypeError, match="returned"):
        ring.flush()
    assert ring.view().tolist() == [0, 1, 2, 3] and ring.stats.spilled == 0
    ring.clear()


@SENDERS
@pytest.mark.parametrize("result, taken", [(None, 1), (1, 1), (0, 0), (2, None), (True, None), ("", None)])
def test_send_of_an_object_returns_0_or_1(kind, result, taken):
    class Takes(Sink if kind == "Sink" else object):
        def send(self, item):
            return result

    ring = ObjectRing(1, Takes())
    ring.push("a")
    if taken:
        ring.push("b")
        assert list(ring) == ["b"] and ring.stats.spilled == 1
    else:
        with pytest.raises(TypeError if taken is None else BlockingIOError):
            ring.push("b")
        assert list(ring) == ["a"] and ring.stats == (1, 0, 0, 0)
    ring.clear()


def test_n_taken_counts_for_one_sink_only():
    """The error of a ring further behind passes through a `send`, which has taken nothing by it."""

    class Fails(Sink):
        def send(self, items):
            raise Boom.after(2)

    class Passes(Sink):
        def send(self, items):
            inner.extend(items)

    inner = ArrayRing(3, "i8", Fails())
    inner.extend(range(3))
    ring = ArrayRing(3, "i8", Passes())
    ring.extend(range(3))
    with pytest.raises(Boom):
        ring.flush()
    assert ring.stats.spilled == 0 and inner.stats.spilled == 2
    inner.clear()
    ring.clear()


def test_send_by_hand_says_what_was_taken():
    class Fails(Sink):
        def send(self, items):
            raise Boom.after(2)

    batch = BatchSink(3, Fails())
    with pytest.raises(Boom) as caught:
        batch.send(np.arange(7))
    assert caught.value.n_taken == 2
    batch.sink.__class__ = Blocks
    batch.sink.__init__()
    batch.close()


@pytest.mark.parametrize(
    "sink",
    [
        CollectSink, DropSink, lambda: FnSink(print), lambda: BatchSink(2, CollectSink()),
        lambda: ReduceSink(2, np.add, CollectSink()), lambda: TeeSink(CollectSink()), lambda: LockedSink(CollectSink()),
        lambda: ProducerSink(lambda i: CollectSink()), lambda: ChannelSink(queue.Queue()),
    ],
)
def test_every_sink_closes_once_and_has_a_repr(sink):
    with sink() as made:
        assert not made.closed
        assert type(made).__name__ in repr(made)
    made.close()
    assert made.closed
    with pytest.raises(ValueError, match="closed"):
        made.send(np.zeros(2))
    with pytest.raises(ValueError, match="closed"):
        ArrayRing(2, sink=made)
    with pytest.raises(ValueError, match="closed"), made:
        pass


def test_a_sink_is_closed_under_the_ring():
    sink = CollectSink()
    ring = ArrayRing(2, "i8", sink)
    ring.extend([1, 2, 3])
    sink.close()
    with pytest.raises(ValueError, match="closed"):
        ring.push(4)
    assert list(ring) == [2, 3] and ring.stats == (3, 0, 1, 0)
    ring.drain(CollectSink())


def test_chains_of_any_depth():
    assert spill_ring.ArrayRing(8).sink is None
    last = ArrayRing(64)
    first = ArrayRing(8, sink=last)
    for n in range(100):
        first.push(n)
    assert first.view().tolist() == list(range(92, 100))
    assert last.view().tolist() == list(range(28, 92))

    deep = end = CollectSink()
    for _ in range(50):
        deep = ObjectRing(3, deep)
    deep.extend(list(range(1000)))
    assert end.items == list(range(850))
    deep.close()
    assert end.items == list(range(1000))


@pytest.mark.parametrize("make", [lambda s: BatchSink(2, s), lambda s: TeeSink(CollectSink(), s)])
def test_push_when_the_sink_takes_and_raises(make):
    """A sink that keeps the item and then raises has taken it: it leaves the ring, and comes once."""
    fail, got = True, []

    def sink(item):
        if fail:
            raise Boom
        got.append(item)

    ring = ObjectRing(2, make(sink))
    done = 0
    for n in range(60):
        fail = n % 3 == 0
        try:
            ring.push(done)
        except Boom:
            pass
        done = ring.stats.pushed
        assert ring.stats.pushed == ring.stats.spilled + len(ring)
    fail = False
    ring.close()
    assert got == list(range(done))


def test_binding_again_while_being_bound():
    class Hasty(CollectSink):
        inner = None

        def attached(self, dtype):
            if self.inner is None:
                self.inner = True
                ArrayRing(1, "u1", self)

    with pytest.raises(TypeError, match="takes"):
        ArrayRing(1, "V1000", Hasty())


def test_a_shared_sink_closes_with_its_last_ring():
    sink = CollectSink()
    shared = LockedSink(sink)

    def produce(i):
        with ArrayRing(4, "i8", shared) as ring:
            for n in range(100):
                ring.push(1000 * i + n)

    rings = [ArrayRing(4, "i8", shared)]
    threads = [threading.Thread(daemon=True, target=produce, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not shared.closed and len(sink) == 300
    rings[0].close()
    assert shared.closed and sink.closed


def test_closing_again_after_a_sink_failed_to():
    class Up(Blocks):
        fails = 1

        def close(self):
            if self.fails:
                self.fails -= 1
                raise Boom
            super().close()

    for make in (
        lambda sink: TeeSink(ArrayRing(4, "i8"), sink), lambda sink: ProducerSink(lambda i: sink),
        lambda sink: BatchSink(1, sink), LockedSink,
    ):
        sink = Up()
        ring = ArrayRing(4, "i8", make(sink))
        ring.extend(range(6))
        with pytest.raises(Boom):
            ring.close()
        assert not ring.closed
        ring.close()
        assert ring.closed and sink.closed and [n for block in sink.blocks for n in block] == list(range(6))


def test_a_sink_that_pushes_while_it_is_flushed():
    class Late(Blocks):
        def flush(self):
            ring.push(9)

    ring = ArrayRing(4, "i8", Late())
    ring.push(1)
    for call in (ring.flush, ring.close):
        with pytest.raises(RuntimeError, match="in use"):
            call()
    assert not ring.closed
    ring.sink.__class__ = type("Quiet", (Blocks,), {})
    ring.close()


@pytest.mark.slow
def test_held_items_are_not_lost_silently():
    for make, expected in [
        (lambda s: BatchSink(10, s), [[0, 1, 2]]),
        (lambda s: ReduceSink(10, np.add, s), [[3]]),
    ]:
        blocks = Blocks()
        sink = make(blocks)
        sink.send(np.arange(3))
        del sink
        gc.collect()
        assert blocks.blocks == expected

        def broken(items):
            raise Boom

        sink = make(broken)
        sink.send(np.arange(3))
        with pytest.warns(ResourceWarning, match="last 3 items"):
            del sink
            gc.collect()


@pytest.mark.thread_unsafe(reason="all threads would have the same folder")
def test_closed_python_sinks_take_nothing(tmp_path):
    with open(tmp_path / "file", "wb") as file:
        for sink in (FileSink(file), Blocks()):
            ring = ArrayRing(2, "i8", sink)
            ring.extend([1, 2])
            sink.close()
            with pytest.raises(ValueError, match="closed"):
                ring.push(3)
            assert list(ring) == [1, 2]
            ring.clear()
            ring.close()
        sink = FileSink(file)
        sink.close()
        with pytest.raises(ValueError, match="closed"):
            sink.send(np.zeros(2))


def test_an_override_that_calls_super_counts_what_was_taken():
    class Halves(BatchSink):
        def send(self, items):
            done = 0
            for part in np.array_split(items, 2):
                try:
                    super().send(part)
                except Boom as error:
                    error.n_taken = done + getattr(error, "n_taken", 0)
                    raise
                done += len(part)

    end = Blocks()
    ring = ArrayRing(4, "i8", Halves(3, end))
    done, fails = 0, itertools.cycle([False, True, False, True, True, False])
    end_send = end.send

    class Flaky(Blocks):
        def send(self, items):
            if next(fails):
                raise Boom
            end_send(items)

    end.__class__ = Flaky
    for _ in range(300):
        try:
            ring.extend(np.arange(done, done + 9))
        except Boom:
            pass
        done = ring.stats.pushed
    assert done >= 200
    end.__class__ = Blocks
    ring.close()
    assert [n for block in end.blocks for n in block] == list(range(done))


def test_n_taken_of_an_object():
    class Takes(Sink):
        def send(self, item):
            got.append(item)
            if item % 2:
                raise Boom.after(1)

    got = []
    ring = ObjectRing(1, Takes())
    done = 0
    for _ in range(40):  # each of them gets at least one item out of the way
        try:
            ring.push(done)
        except Boom:
            pass
        done = ring.stats.pushed
    assert done >= 20
    ring.close() if done % 2 else ring.clear()
    assert got == list(range(len(got))) and len(got) >= 19


@pytest.mark.parametrize("kind", [CollectSink, BatchSink, ReduceSink])
def test_a_sink_that_refuses_its_ring_after_it_took_something(kind):
    """What it keeps is of that dtype for good: as items of another one they would lie elsewhere."""

    class Sending(kind):
        def attached(self, dtype):
            self.send(np.zeros(60, dtype))
            raise RuntimeError("no")

    arguments = {CollectSink: (), BatchSink: (100, CollectSink()), ReduceSink: (100, np.add, CollectSink())}
    sink = Sending(*arguments[kind])
    with pytest.raises(RuntimeError, match="no"):
        ArrayRing(2, "u1", sink=sink)
    with pytest.raises(TypeError, match="takes items of dtype"):
        ArrayRing(2, "S1000000", sink=sink)
    ring = ArrayRing(2, "u1", sink=sink)
    ring.extend(range(5))
    ring.close()
    assert ring.stats.spilled == 5


@pytest.mark.parametrize("make", [FnSink, lambda fn: type("Own", (Sink,), {"send": lambda self, items: fn(items)})()])
def test_a_large_block_reaches_python_whole(make):
    """It is copied without the GIL."""
    got = []
    ring = ArrayRing(50_000, sink=make(got.append))
    for start in range(0, 400_000, 40_000):
        ring.extend(np.arange(start, start + 40_000.0))
    ring.close()
    assert np.array_equal(np.concatenate(got), np.arange(400_000.0)) and max(map(len, got)) >= 30_000
