"""Records 300,000 numbers in blocks of random sizes. Arguments: folder, keep_bytes (0: all)."""
import sys

import numpy as np

from spill_ring import DiskSink

with DiskSink(sys.argv[1], segment_bytes=20_000, interval=0.01, keep_bytes=int(sys.argv[2]) or None) as sink:
    n = 0
    rng = np.random.default_rng(3)
    while n < 300_000:
        count = int(rng.integers(1, 700))
        sink.send(np.arange(n, n + count))
        n += count
