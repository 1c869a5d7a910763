"""Started by tests/threads/test_spsc_lifetime.py."""

import os

from spill_ring import SpscRing

got = []


def sink(item):
    if os.fork():
        os.wait()
        got.append(("parent", item))
    else:
        got.append(("child", item))


ring = SpscRing(2, sink=sink)
ring.extend([1, 2])
ring.push(3)
assert got in ([("parent", 1)], [("child", 1)])
assert ring.pop_many() == [2, 3] and ring.stats == (3, 2, 1, 0)
