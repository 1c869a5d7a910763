"""Functions and objects with send as sinks."""
import pytest

from spill_ring import (
    ArrayRing,
    FnSink,
    ObjectRing,
)


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


def test_what_a_function_returns_is_ignored():
    for result in (0, 3, True, "x", -1, None):
        ring = ArrayRing(2, "i8", lambda items, result=result: result)
        ring.extend(range(9))
        ring.close()
        assert ring.stats.spilled == 9
