"""Records a million numbers in small segments. Argument: folder."""
import sys

import numpy as np

from spill_ring import DiskSink

with DiskSink(sys.argv[1], segment_bytes=1000, keep_bytes=4000, sync="never", interval=0.001) as sink:
    for n in range(0, 1_000_000, 50):
        sink.send(np.arange(n, n + 50))
