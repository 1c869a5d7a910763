"""Started by tests/_core/test_misuse.py."""

from spill_ring import ArrayRing, CollectSink, LockedSink, ObjectRing, ProducerSink


def endless(i):
    return ProducerSink(endless)


def long_line(i):
    sink = ProducerSink(long_line)
    for _ in range(200):
        sink = LockedSink(sink)
    return sink


for make in (ObjectRing, ArrayRing):
    itself = ProducerSink(lambda i: itself)
    for sink in (ProducerSink(endless), ProducerSink(long_line), itself):
        ring = make(1, sink=sink)
        try:
            ring.extend([1, 2, 3])
        except RecursionError as error:
            assert str(error) == "a chain of more than 256 sinks"
        else:
            raise AssertionError(sink)
        assert ring.stats.pushed == ring.stats.spilled + len(ring)
    try:
        make(1, sink=itself)
    except RecursionError:
        pass
    else:
        raise AssertionError
    last = CollectSink()
    ring = make(1, sink=ProducerSink(lambda i: ProducerSink(lambda i: last)))
    ring.extend([1, 2, 3])
    assert list(last.items) == [1, 2]
print("through")
