"""Started by tests/threads/test_spsc_lifetime.py."""

import sys
import threading
import time

from spill_ring import SpscRing

wait = sys.argv[1]


def work():
    ring = SpscRing(4)
    exec(wait)


for _ in range(200):  # each looks now and then whether it may go on, and one is likely to just now
    threading.Thread(target=work, daemon=True).start()
    time.sleep(0.0005)
