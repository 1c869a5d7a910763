"""Records on a disk that is full again and again, and prints how many items were pushed. Argument: folder."""
import resource
import signal
import sys

import numpy as np

from spill_ring import ArrayRing, DiskSink

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ring = ArrayRing(4, "i8", DiskSink(sys.argv[1]))
ring.extend(np.arange(10))
for limit in range(150, 1500, 7):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    before = ring.stats
    try:
        ring.extend(np.arange(before.pushed, before.pushed + 5))
    except OSError as error:
        assert error.errno in (27, 28), error
        assert len(ring) == ring.stats.pushed - ring.stats.spilled and list(ring)[:1] in ([], [ring.stats.spilled])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ring.close()
print(ring.stats.pushed)
