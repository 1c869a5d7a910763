"""Started by tests/threads/test_spsc_lifetime.py."""

import sys
import threading

import numpy as np

from helpers.forks import forked
from spill_ring import SpscRing

overflow = sys.argv[1]

ring = SpscRing(10_000, "i8", overflow=overflow)
done = threading.Event()


def push():
    numbers = np.arange(1, 200_001)  # more than there is room for: a full ring that blocks takes it bit by bit
    while not done.is_set():
        ring.extend(numbers)
        ring.extend(numbers[:7] + 200_000)
        numbers += 200_007


def check():
    got = ring.pop_many()
    assert ring.stats.pushed >= len(got) and len(ring) == 0
    some = np.diff(got)
    assert (got > 0).all() and (some > 0).all(), (got[:3], got[-3:], some.min())
    ring.try_extend([1, 2, 3])
    assert ring.pop_many().tolist() == [1, 2, 3]


thread = threading.Thread(target=push, daemon=True)
thread.start()
for _ in range(300):
    ring.pop_many()  # the producer goes on just now, without the GIL
    forked(check)
done.set()
while thread.is_alive():
    ring.pop_many()
