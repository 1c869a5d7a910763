"""Started by tests/_core/test_storage.py."""

import os
import sys

import numpy as np

from spill_ring import ArrayRing, ObjectRing
from spill_ring._core.storage import use_mirror

mirrored, memory = sys.argv[1:]
use_mirror(eval(mirrored))
ring = ArrayRing(1000, "i8", ArrayRing(500, "i8"))
ring.extend(range(1200))
objects = ObjectRing(3)
objects.extend("abcd")
view = ring.view()
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.read(read, 1)  # the parent has written over all of its own ring
    assert view.tolist() == list(range(200, 1200)), view
    assert ring.view().tolist() == list(range(200, 1200))
    assert ring.sink.view().tolist() == list(range(200))
    ring.extend(np.full(5000, -1))
    assert (ring.view() == -1).all() and list(objects) == ["b", "c", "d"]
    objects.push("child")
    if os.fork() == 0:  # and so its own child
        ring.extend(np.full(5000, -9))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    assert (ring.view() == -1).all()
    os._exit(0)
ring.extend(np.full(1000, 7))
os.write(write, b"x")
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert (ring.view() == 7).all()
assert ring.sink.view().tolist() == list(range(700, 1200))
assert list(objects) == ["b", "c", "d"]
assert ring.view().base.kind == memory
fds = os.listdir("/proc/self/fd")
assert len(fds) <= 6, fds  # the snapshots' files are closed
print("done")
