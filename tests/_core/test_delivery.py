"""What would take items and deliver nothing is refused, where it is given or by the first items."""
import asyncio
import functools
import io
import unittest.mock

import numpy as np
import pytest

from spill_ring import (
    ArrayRing,
    BackgroundSink,
    ChannelSink,
    CollectSink,
    FileSink,
    FnSink,
    ObjectRing,
    ProducerSink,
    ReduceSink,
    Sink,
    SpscRing,
    TeeSink,
)

pytestmark = pytest.mark.filterwarnings("error")


async def upload(items):
    raise AssertionError("nobody awaits it")


async def upload_all(items):
    yield items


def generate(items):
    yield items


class Uploader:
    async def upload(self, items):
        pass

    async def __call__(self, items):
        pass


class WithSend:
    async def send(self, items):
        pass


class WithFlush:
    def send(self, items):
        pass

    async def flush(self):
        pass


class AsyncSink(Sink):
    async def send(self, items):
        pass


DELIVERS_NOTHING = [
    upload, upload_all, generate, functools.partial(upload), functools.partial(functools.partial(upload)),
    Uploader().upload, Uploader(), functools.partial(Uploader()), WithSend(), WithFlush(), AsyncSink(),
    unittest.mock.AsyncMock(),
]


@pytest.mark.parametrize("sink", DELIVERS_NOTHING, ids=str)
def test_it_is_refused_where_it_is_given(sink):
    for make in (
        lambda: ArrayRing(4, sink=sink), lambda: ObjectRing(4, sink), lambda: SpscRing(4, "f8", sink),
        lambda: TeeSink(CollectSink(), sink), lambda: BackgroundSink(sink, 10), lambda: ArrayRing(4).drain(sink),
    ):
        with pytest.raises(TypeError, match="call_soon_threadsafe"):
            make()


def test_so_are_queues_and_other_callables_that_have_to_be_awaited():
    class AsyncFile:
        async def write(self, data):
            pass

    for make in (
        lambda: ChannelSink(asyncio.Queue()), lambda: FnSink(print, flush=upload), lambda: ReduceSink(2, upload, print),
        lambda: ProducerSink(upload), lambda: FileSink(AsyncFile()),
    ):
        with pytest.raises(TypeError, match="call_soon_threadsafe"):
            make()
    coroutine = upload(1)
    with pytest.raises(TypeError, match="is a coroutine"):
        ArrayRing(4, sink=coroutine)
    coroutine.close()


class SendsLater:
    def send(self, items):
        return upload(items)


class SinkThatSendsLater(Sink):
    def send(self, items):
        return upload(items)


@pytest.mark.parametrize("make", [lambda sink: ArrayRing(2, "f8", sink), lambda sink: ObjectRing(2, sink)])
@pytest.mark.parametrize("make_sink", [lambda: lambda items: upload(items), SendsLater, SinkThatSendsLater])
def test_what_returns_a_coroutine_keeps_the_items(make_sink, make):
    ring = make(make_sink())
    ring.extend([1, 2])
    with pytest.raises(TypeError, match="returned a coroutine"):
        ring.push(3)
    assert list(ring) == [1, 2] and ring.stats == (2, 0, 0, 0)
    ring.clear()


def test_a_task_that_the_loop_runs_is_a_delivery():
    got = []

    async def keep(items):
        got.extend(items)

    async def main():
        loop = asyncio.get_running_loop()
        with ArrayRing(2, "i8", lambda items: loop.create_task(keep(items))) as ring:
            ring.extend(range(5))
        queue = asyncio.Queue()
        with ArrayRing(2, "i8", lambda items: loop.call_soon_threadsafe(queue.put_nowait, items)) as ring:
            ring.extend(range(3))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return np.concatenate([queue.get_nowait() for _ in range(queue.qsize())])

    assert asyncio.run(main()).tolist() == [0, 1, 2]
    assert got == [0, 1, 2, 3, 4]


class Remote:
    """A file as paramiko's and asyncio's are: `write` takes all and returns None; there is no `flush`."""

    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += bytes(data)


class Short(Remote):
    def write(self, data):
        super().write(data[:3])
        return len(data[:3])


class Returns(Remote):
    def __init__(self, result):
        super().__init__()
        self.result = result
        self.calls = 0

    def write(self, data):
        self.calls += 1
        return self.result


@pytest.mark.parametrize("make", [Remote, Short])
def test_a_file_that_returns_none_or_less_gets_each_byte_once(make):
    file = make()
    with ArrayRing(4, "i4", FileSink(file)) as ring:
        for n in range(20):
            ring.push(n)
    assert np.frombuffer(file.data, "i4").tolist() == list(range(20))


@pytest.mark.parametrize(
    "result, error",
    [(0, BlockingIOError), (True, TypeError), ("4", TypeError), (4.0, TypeError), (-1, ValueError), (9, ValueError)],
)
def test_a_file_that_returns_nonsense_is_told_so_and_the_items_stay(result, error):
    file = Returns(result)
    ring = ArrayRing(1, "f8", FileSink(file))
    ring.push(1)
    with pytest.raises(error):
        ring.push(2)
    assert file.calls == 1 and list(ring) == [1] and ring.stats == (1, 0, 0, 0)
    ring.clear()


def test_what_a_buffered_file_says_it_took_is_not_written_again():
    class Full(Remote):
        room = 11

        def write(self, data):
            taken = min(self.room, len(data))
            super().write(data[:taken])
            self.room -= taken
            if taken < len(data):
                raise BlockingIOError(11, "full", taken)
            return taken

    file = Full()
    ring = ArrayRing(4, "i4", FileSink(file))
    ring.extend(range(4))
    with pytest.raises(BlockingIOError):
        ring.extend(range(4, 8))
    file.room = 1000
    ring.extend(range(ring.stats.pushed, 8))
    ring.close()
    assert np.frombuffer(file.data, "i4").tolist() == list(range(8))


def test_what_is_sent_to_a_file_by_hand_is_of_its_dtype():
    file = io.BytesIO()
    sink = FileSink(file)
    ArrayRing(2, "i2", sink)
    sink.send([1, 2])
    for bad, error in ((np.array([1.5]), TypeError), ([2**15], OverflowError), (np.ma.array([1], mask=[1]), TypeError)):
        with pytest.raises(error):
            sink.send(bad)
    assert np.frombuffer(file.getvalue(), "i2").tolist() == [1, 2]
