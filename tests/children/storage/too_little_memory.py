"""Started by tests/_core/test_storage.py."""

import resource

import numpy as np

from spill_ring import ArrayRing

rings = [ArrayRing(4) for _ in range(10)]
with open("/proc/self/statm") as statm:
    size = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 40_000_000, size + 40_000_000))
try:
    ArrayRing(100_000_000)
except MemoryError:
    pass
else:
    raise SystemExit("no MemoryError")
ring = ArrayRing(10_000, sink=rings[0])
ring.extend(np.arange(30_000.0))
assert ring.view()[-1] == 29_999
print("done", ring.view().base.kind)
