"""Started by tests/_core/test_storage.py."""

import os
import resource

import numpy as np

from spill_ring import ArrayRing

rings = [ArrayRing(10, "i8") for _ in range(500)]
for n, ring in enumerate(rings):
    ring.extend(np.full(10, n))
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
child = os.fork()
if child == 0:
    ok = all((ring.view() == n).all() for n, ring in enumerate(rings))
    for ring in rings:
        ring.extend(np.full(700, -1))
    os._exit(0 if ok and all((ring.view() == -1).all() for ring in rings) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert all((ring.view() == n).all() for n, ring in enumerate(rings))
