"""The sinks, one by one."""
import gc
import io
import itertools
import os
import queue
import resource
import signal
import threading

import numpy as np
import pytest

import spill_ring
from helpers.model import Boom
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
    SpillRing,
    TeeSink,
)


def spill(sink, numbers, dtype="i8", capacity=1):
    """Push numbers through a ring of one into a sink, then flush it."""
    ring = ArrayRing(capacity, dtype, sink)
    ring.extend(numbers)
    ring.flush()
    return ring


class Blocks(Sink):
    """Remembers each block that it is sent."""

    def __init__(self):
        self.blocks = []

    def send(self, items):
        self.blocks.append(items.tolist() if isinstance(items, np.ndarray) else items)


def test_drop_sink_counts_as_dropped():
    for sink in (None, DropSink()):
        ring = SpillRing(2, sink=sink)
        ring.extend([1, 2, 3])
        assert ring.stats == (3, 0, 0, 1)
        assert ring.sink is sink


def test_collect_sink_objects():
    sink = CollectSink()
    ring = SpillRing(4, sink=sink)
    for n in range(1, 11):
        ring.push(n)
    assert list(ring) == [7, 8, 9, 10]
    assert sink.items == [1, 2, 3, 4, 5, 6]
    assert sink.take() == [1, 2, 3, 4, 5, 6]
    assert sink.items == [] and len(sink) == 0


def test_collect_sink_array():
    sink = CollectSink()
    ring = ArrayRing(3, "i8", sink)
    assert sink.items.dtype == "i8" and len(sink.items) == 0
    ring.extend(range(1000))
    copy = sink.items
    taken = sink.take()
    assert copy.tolist() == taken.tolist() == list(range(997))
    assert taken.flags.writeable
    assert len(sink) == 0 and len(sink.take()) == 0
    ring.extend(range(5))
    assert sink.items.tolist() == [997, 998, 999, 0, 1]
    taken[:] = 0  # nobody else's memory
    ring.close()
    assert sink.items.tolist() == [997, 998, 999, 0, 1, 2, 3, 4]
    assert sink.closed and sink.take().tolist() == [997, 998, 999, 0, 1, 2, 3, 4]


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


def test_fn_sink():
    seen, flushed = [], []
    sink = FnSink(seen.append, flush=lambda: flushed.append(1))
    ring = ObjectRing(1, sink)
    ring.extend("abc")
    assert seen == ["a", "b"] and not flushed
    assert ring.flush() == 1 and seen == ["a", "b", "c"] and flushed == [1]
    ring.close()
    assert flushed == [1, 1, 1]  # the ring's flush, and the sink's own when it closes
    with pytest.raises(TypeError, match="not callable"):
        FnSink(3)


def test_a_callable_and_an_object_with_send_are_sinks():
    class Duck:
        def __init__(self):
            self.log = []

        def send(self, items):
            self.log.append(items)

        def flush(self):
            self.log.append("flush")

        def close(self):
            self.log.append("close")

    duck = Duck()
    ring = ObjectRing(1, duck)
    assert ring.sink is duck
    ring.extend([1, 2])
    ring.close()
    assert duck.log == [1, 2, "flush", "flush", "close"]

    sent = []
    ring = ObjectRing(1, sent.append)
    ring.extend([1, 2])
    assert sent == [1]


def test_a_generator_is_a_sink():
    got = []

    def consumer():
        while True:
            got.append((yield))

    generator = consumer()
    next(generator)
    ring = ObjectRing(1, generator)
    ring.extend([1, 2, 3])
    assert got == [1, 2]


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


def test_what_a_function_returns_is_ignored():
    for result in (0, 3, True, "x", -1, None):
        ring = ArrayRing(2, "i8", lambda items, result=result: result)
        ring.extend(range(9))
        ring.close()
        assert ring.stats.spilled == 9


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


@pytest.mark.parametrize("bad", [(0, np.add), (-1, np.add), (2.5, np.add), ("2", np.add), (2, 3), (2, np.sin)])
def test_reduce_and_batch_refuse(bad):
    with pytest.raises((TypeError, ValueError)):
        ReduceSink(*bad, CollectSink())
    if bad[0] != 2:
        with pytest.raises((TypeError, ValueError)):
            BatchSink(bad[0], CollectSink())


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


@pytest.mark.thread_unsafe(reason="all threads would have the same folder")
@pytest.mark.parametrize("dtype", ["f8", ">i2", "M8[s]", "U3", [("a", "i2"), ("b", "f4")], ("f4", (2,))])
def test_file_sink_writes_the_bytes(dtype, tmp_path):
    items = np.zeros(10, dtype)
    items.view("u1")[...] = np.arange(items.nbytes).reshape(items.view("u1").shape) % 50
    with open(tmp_path / "raw", "wb") as file:
        with ArrayRing(3, dtype, FileSink(file)) as ring:
            ring.extend(items)
        assert not file.closed
    assert (tmp_path / "raw").read_bytes() == items.tobytes()


def test_file_sink_finishes_a_broken_item():
    class Chokes(io.RawIOBase):
        """Writes 5 bytes at a time, and raises at every third write."""

        def __init__(self):
            self.data = bytearray()
            self.writes = 0

        def writable(self):
            return True

        def write(self, data):
            self.writes += 1
            if self.writes % 3 == 0:
                raise OSError(28, "No space left on device")
            self.data += data[:5]
            return len(data[:5])

    file = Chokes()
    ring = ArrayRing(4, "i8", FileSink(file))
    numbers = np.arange(300)
    for _ in range(1000):
        done = ring.stats.pushed
        try:
            if done == len(numbers):
                ring.close()
                break
            ring.extend(numbers[done : done + 9])
        except OSError:
            pass
    assert ring.closed
    assert np.frombuffer(file.data, "i8").tolist() == numbers.tolist()


@pytest.mark.thread_unsafe(reason="signals and limits are the process's")
def test_file_sink_on_a_file_that_may_grow_no_more(tmp_path):
    path = tmp_path / "limited"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open(path, "wb", buffering=0) as file:
        ring = ArrayRing(10, "i8", FileSink(file))
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
            with pytest.raises(OSError):
                ring.extend(range(40))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, old)
        # 12 items and half of one got through: the half counts, and is finished first
        assert ring.stats == (13, 0, 13, 0) and os.path.getsize(path) == 100
        ring.extend(range(13, 40))
        ring.close()
    assert np.fromfile(path, "i8").tolist() == list(range(40))


def test_file_sink_refuses():
    for bad in (3, "path", io.StringIO()):
        with pytest.raises(TypeError, match="binary file"):
            FileSink(bad)
    with pytest.raises(TypeError, match="bytes"):
        ObjectRing(2, FileSink(io.BytesIO()))

    with open(os.devnull, "rb") as file, pytest.raises(ValueError, match="not open for writing"):
        FileSink(file)

    class NotReady(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            return None

    ring = ArrayRing(1, sink=FileSink(NotReady()))
    with pytest.raises(BlockingIOError):
        ring.extend([1, 2])


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


def test_what_reduce_makes_must_be_items():
    for reduce in (lambda group: {"mean": group.mean()}, lambda group: None, np.frompyfunc(lambda a, b: [a, b], 2, 1)):
        ring = ArrayRing(1, "f8", ReduceSink(2, reduce, CollectSink()))
        with pytest.raises(TypeError, match="ObjectRing"):
            ring.extend(range(10))
        assert ring.stats.pushed == 0
    with pytest.raises(TypeError, match="ObjectRing"):
        CollectSink().send(np.array([[], {}], object))


def test_a_drop_sink_of_ones_own():
    class Counts(DropSink):
        seen = 0

        def send(self, items):
            self.seen += len(items)

    for wrap in (lambda sink: sink, LockedSink, TeeSink):
        sink = Counts()
        ring = ArrayRing(1, sink=wrap(sink))
        ring.extend([1, 2, 3])
        assert sink.seen == 2 and ring.stats.spilled == 2
    ring.drain(sink)
    assert sink.seen == 3
    plain = DropSink()
    ring = ArrayRing(1, sink=plain)
    ring.extend([1, 2])
    assert ring.flush() == 1 and ring.stats.dropped == 2
    ring.close()


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


def test_a_socket_is_no_sink():
    import socket

    with socket.socket() as connection, pytest.raises(TypeError, match="makefile"):
        ArrayRing(2, sink=connection)


@pytest.mark.thread_unsafe(reason="signals are for the main thread")
def test_signals_do_not_double_items(tmp_path):
    """Each is interrupted at some moment, and what was recorded is what was pushed."""
    for n in range(30):
        path = tmp_path / f"{n}"
        with open(path, "wb", buffering=0) as file:
            ring = ArrayRing(1, "i8", FileSink(file))
            old = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(Boom))
            signal.setitimer(signal.ITIMER_REAL, 0.001 + n * 0.0003)
            try:
                while True:
                    ring.extend([ring.stats.pushed])
            except Boom:
                pass
            finally:
                signal.signal(signal.SIGALRM, old)
            ring.close()
        assert np.array_equal(np.fromfile(path, "i8"), np.arange(ring.stats.pushed))


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
