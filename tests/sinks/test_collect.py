"""CollectSink and DropSink."""
from spill_ring import (
    ArrayRing,
    CollectSink,
    DropSink,
    LockedSink,
    SpillRing,
    TeeSink,
)


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
