"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *

got = CollectSink()
sink = BackgroundSink(got, 10)
threading.stack_size(1 << 46)
for _ in range(2):
    try:
        ArrayRing(2, "i8", sink)
    except RuntimeError as error:
        assert "start new thread" in str(error), error
    else:
        assert False
threading.stack_size(0)
ring = ArrayRing(2, "i8", sink)
ring.extend(range(5))
ring.close()
assert got.items.tolist() == list(range(5))
