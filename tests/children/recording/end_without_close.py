"""Ends without closing its sink. Arguments: folder, 1 for a ring in a cycle."""
import os
import sys
import time

import numpy as np

from spill_ring import ArrayRing, DiskSink

folder = sys.argv[1]
os.mkdir(os.path.dirname(folder))
sink = DiskSink(folder, interval=0.001, segment_bytes=4000)
ring = ArrayRing(4, "i8", sink)
if sys.argv[2] == "1":
    kept = [ring]
    kept.append(kept)
ring.extend(np.arange(20_000))
time.sleep(0.02)
ring.extend(np.arange(20_000, 20_100))
