"""Pushes 30 items, tries again after errors, and prints how many were taken. Arguments: folder, kind, sync."""
import os
import sys

import numpy as np

from spill_ring import ArrayRing, DiskSink, ObjectRing

kind, sync = sys.argv[2:4]
sink = DiskSink(sys.argv[1], segment_bytes=200, sync=sync, interval=3600)
if kind == "typed":
    ring, items = ArrayRing(2, "i8", sink), np.arange(30)
else:
    ring, items = ObjectRing(2, sink), [str(n) for n in range(30)]
n = 0
while n < 30:
    try:
        while n < 30:
            ring.extend(items[n : n + 6])
            n = ring.stats.pushed
            os.write(1, b"%d " % ring.stats.spilled)
            if n % 18 == 0:
                sink.flush()
    except OSError as error:
        stats = ring.stats
        assert stats.pushed == stats.spilled + len(ring)
        assert [int(n) for n in ring] == list(range(stats.spilled, stats.pushed))
        n = stats.pushed
        os.write(1, b"%s " % os.strerror(error.errno).replace(" ", "_").encode())
while not sink.closed:
    try:
        ring.close()
        sink.close()
    except OSError as error:
        os.write(1, b"%s " % os.strerror(error.errno).replace(" ", "_").encode())
os.write(1, b"%d " % ring.stats.spilled)
