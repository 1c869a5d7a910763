"""Started by tests/_core/test_storage.py."""

import os
import sys
import threading

ring = None
os.register_at_fork(before=lambda: ring.push(-1), after_in_child=lambda: ring.push(-2))
import numpy as np

from spill_ring import ArrayRing

sys.setswitchinterval(1e-5)
ring = ArrayRing(1000, "i8")
going = True


def make():
    while going:
        ArrayRing(100).extend(np.ones(300))


thread = threading.Thread(daemon=True, target=make)
thread.start()
for n in range(50):
    ring.extend(np.full(1000, n))
    child = os.fork()
    if child == 0:
        ok = ring[-1] == -2 and ring[-2] == -1 and set(ring.view()[:-2].tolist()) == {n}
        ring.extend(np.full(1000, -9))
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ring[-1] == -1 and set(ring.view()[:-1].tolist()) == {n}
going = False
thread.join()
