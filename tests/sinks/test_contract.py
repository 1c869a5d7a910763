"""Every sink keeps the contract that `spill_ring.testing.SinkTests` asks of anybody's."""
import os
import queue
import threading

import numpy as np
import pytest

from spill_ring import (
    ArrayRing,
    BackgroundSink,
    BatchSink,
    ChannelSink,
    CollectSink,
    DiskSink,
    DropSink,
    FileSink,
    FnSink,
    LockedSink,
    ObjectRing,
    ProducerSink,
    ReduceSink,
    SpillLog,
    SpscRing,
    TeeSink,
)
from spill_ring.sinks.npy import NpySink
from spill_ring.testing import SinkTests

pytestmark = pytest.mark.thread_unsafe(reason="a sink for one thread at a time; the tests start threads of their own")


class TestDropSink(SinkTests):
    takes_any_dtype = True
    can_fail = False
    threads = "served"

    def make(self, folder, probe):
        return DropSink()

    def expected(self, items):
        return []

    def test_a_closed_sink_refuses(self, sink, typed):
        """Rings drop by themselves, without a call, so only what is sent by hand is refused."""
        sink.close()
        with pytest.raises(ValueError, match="closed"):
            sink.send(self.make_items(0, 1, typed))


class TestCollectSink(SinkTests):
    can_fail = False
    threads = "refused"

    def make(self, folder, probe):
        return CollectSink()

    def received(self, sink):
        return sink.items


class TestPythonSink(SinkTests):
    """A sink as somebody writes it in Python, here the probe itself."""

    threads = "served"

    def make(self, folder, probe):
        return probe


class TestFnSink(SinkTests):
    takes_part = False
    threads = "served"

    def make(self, folder, probe):
        return FnSink(probe.send)


class TestChannelSink(SinkTests):
    takes_part = False
    threads = "served"

    def make(self, folder, probe):
        return ChannelSink(Queue(probe))

    def received(self, sink):
        while not sink.queue.empty():
            part = sink.queue.get()
            self.probe.items.extend(part if isinstance(part, np.ndarray) else [part])
        return self.probe.items


class Queue(queue.SimpleQueue):
    """A `queue.Queue` has a lock of its own, which a forked child may find taken for good."""

    def __init__(self, probe):
        self.probe = probe

    def put(self, item):
        if self.probe.before_item is not None:
            self.probe.before_item()
        super().put(item)


class TestBatchSink(SinkTests):
    threads = "refused"

    def make(self, folder, probe):
        return BatchSink(4, probe)


class TestReduceSink(SinkTests):
    threads = "refused"

    def make(self, folder, probe):
        return ReduceSink(2, lambda group: group[-1], probe)

    def expected(self, items):
        return items[1::2] + items[-1:] * (len(items) % 2)


class TestReduceSinkByUfunc(SinkTests):
    takes_objects = False
    threads = "refused"
    test_what_it_takes = None  # objects too, where the ufunc does

    def make(self, folder, probe):
        return ReduceSink(3, np.maximum, probe)

    def expected(self, items):
        return items[2::3] + items[-1:] * (len(items) % 3 > 0)


class TestTeeSink(SinkTests):
    """The probe is the first of two, which decides."""

    threads = "refused"

    def make(self, folder, probe):
        self.other = CollectSink()
        return TeeSink(probe, self.other)

    def received(self, sink):
        both = [list(self.probe.items), list(self.other.items)]
        assert both[0] == both[1]
        return both[0]


class TestTeeSinkSecond(TestTeeSink):
    """The probe is the second, which is owed what it didn't take."""

    def make(self, folder, probe):
        self.other = CollectSink()
        return TeeSink(self.other, probe)


class TestLockedSink(SinkTests):
    threads = "served"

    def make(self, folder, probe):
        return LockedSink(probe)


class TestProducerSink(SinkTests):
    threads = "served"

    def make(self, folder, probe):
        return ProducerSink(lambda index: probe)


class TestFileSink(SinkTests):
    takes_objects = False
    threads = "refused"
    writes_outside = True

    def make(self, folder, probe):
        self.path = folder / "items"
        return FileSink(File(self.path, probe))

    def received(self, sink):
        return np.fromfile(self.path, self.dtype)


class TestNpySink(TestFileSink):
    def make(self, folder, probe):
        self.path = folder / "items.npy"
        return NpySink(File(self.path, probe))

    def received(self, sink):
        return np.load(self.path)


class File:
    """A file that writes five bytes at a time, so that items break."""

    def __init__(self, path, probe):
        self.file = path.open("wb", buffering=0)
        self.probe = probe

    def write(self, data):
        if self.probe.before_item is not None:
            self.probe.before_item()
        return self.file.write(data[:5])

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __del__(self):
        self.file.close()


class TestBackgroundSink(SinkTests):
    threads = "refused"

    def make(self, folder, probe):
        return BackgroundSink(probe, 8)


class TestDiskSink(SinkTests):
    can_fail = False
    threads = "refused"
    writes_outside = True

    def make(self, folder, probe):
        return DiskSink(folder / "recording", segment_bytes=256, sync="never")

    def received(self, sink):
        return SpillLog(sink.path, encoder=sink.encoder)[:]


class TestDiskSinkOfObjects(TestDiskSink):
    """What can fail is the encoder."""

    takes_typed = False
    can_fail = True
    test_what_it_takes = None  # typed items too, as above

    def make(self, folder, probe):
        return DiskSink(folder / "recording", segment_bytes=256, sync="never", encoder=Encoder(probe))


class Encoder:
    name = "text"

    def __init__(self, probe):
        self.probe = probe

    def encode(self, item):
        if self.probe.before_item is not None:
            self.probe.before_item()
        return item.encode()

    def decode(self, data):
        return data.decode()


class TestObjectRing(SinkTests):
    takes_typed = False
    threads = "refused"

    def make(self, folder, probe):
        return ObjectRing(4, probe)


class TestArrayRing(SinkTests):
    takes_objects = False
    threads = "refused"

    def make(self, folder, probe):
        return ArrayRing(4, self.dtype, probe)


class TestSpscRing(SinkTests):
    takes_objects = False
    threads = "refused"

    def make(self, folder, probe):
        return SpscRing(4, self.dtype, probe)


class TestSpscRingOfObjects(TestSpscRing):
    takes_objects = True
    takes_typed = False

    def make(self, folder, probe):
        return SpscRing(4, None, probe)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
    @pytest.mark.parametrize("call", ["extend", "drain"])
    def test_a_fork_beside_a_thread_in_the_midst_of_a_run(self, new_sink, typed, call):
        """A run that wraps around is two calls of the sink: between them the slots of the first half are empty."""
        for stop_at in range(1, 14):
            ring = new_sink()
            sending, goes_on = threading.Event(), threading.Event()
            self.probe.before_item = countdown(stop_at, sending, goes_on)
            thread = threading.Thread(target=extend_or_drain, args=(ring, call, self.probe))
            thread.start()
            sending.wait()
            self._in_child(lambda ring=ring: extend_or_drain(ring, call, self.probe))
            goes_on.set()
            thread.join()


def extend_or_drain(ring, call, probe):
    for _ in range(4):
        ring.extend(["a", "b", "c"] * (3 if call == "extend" else 1))
        if call == "drain":
            ring.drain(probe)
            ring.extend(["d", "e", "f"])
            ring.drain(probe)


def countdown(count, reached, goes_on):
    """A function that waits at its call number `count`, in this process."""
    here, calls = os.getpid(), iter(range(1, 10**6))

    def call():
        if next(calls) == count and os.getpid() == here:
            reached.set()
            goes_on.wait()

    return call
