"""Records until it is killed, and prints how many items the sink took. Arguments: folder, first number."""
import os
import sys

import numpy as np

from spill_ring import ArrayRing, DiskSink

with ArrayRing(2, "i8", sink := DiskSink(sys.argv[1], segment_bytes=5000, interval=0.001)) as ring:
    n = int(sys.argv[2])
    while True:
        ring.extend(np.arange(n, n + 40))
        n += 40
        os.write(1, b"%d " % (sink.count))
