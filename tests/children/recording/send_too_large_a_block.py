"""Sends a block for which the disk has no space. Arguments: folder, kind, sync."""
import errno
import resource
import sys

import numpy as np

from spill_ring import ArrayRing, DiskSink, ObjectRing, SpillLog

kind, sync = sys.argv[2:]
typed = kind == "typed"
sink = DiskSink(sys.argv[1], sync=sync, interval=3600)
ring = ArrayRing(200_000, "i8", sink) if typed else ObjectRing(200_000, sink)
ring.extend(np.arange(200_000) if typed else map(str, range(200_000)))
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        ring.flush()
    except OSError as error:
        assert error.errno == errno.EFBIG
    count = sink.count
    assert ring.stats == (200_000, 0, count, 0) and int(ring[0]) == count
    assert count == (500_000 - 128) // 8 if typed else 30_000 < count < 500_000 / 13, count
    log = SpillLog(sys.argv[1])
    assert log.end == count and log.verify() == []
    assert len(log) == count and int(log[-1]) == count - 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ring.close()
log = SpillLog(sys.argv[1])
assert [int(n) for n in log[:]] == list(range(200_000)) and log.verify() == []
