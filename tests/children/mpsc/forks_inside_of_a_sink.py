"""Started by tests/threads/test_mpsc.py."""

import os
import sys

from spill_ring import MpscRing

dtype = sys.argv[1]
children = []
refused = 0


def sink(items):
    global refused
    if len(ring.producers[0]) == 0 and not children:
        children.append(os.fork())
    for producer in ring.producers:
        try:
            producer.pop(None)
        except RuntimeError as error:
            assert "in use" in str(error)
            refused += 1


ring = MpscRing(4, eval(dtype), producers=3)
for i, producer in enumerate(ring.producers):
    producer.extend([i, i])
assert ring.drain(sink) == 6 and refused == 3 * (3 if ring.dtype else 6), refused
for producer in ring.producers:
    producer.push(7)
assert [producer.pop() for producer in ring.producers] == [7, 7, 7]
if children[0] == 0:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7
print("through")
