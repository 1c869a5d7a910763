"""Started by tests/threads/test_spsc_lifetime.py."""

import os
import signal
import sys

from spill_ring import SpscRing

side, dtype = sys.argv[1:]
refused = []
children = []


def call_back():
    children.append(os.fork())
    for call in (lambda: ring.push(7), ring.flush) if side != "drain" else (ring.pop, lambda: ring.wait(0)):
        try:
            call()
        except RuntimeError as error:
            refused.append(str(error))


def sink(items):
    if not children:
        call_back()


ring = SpscRing(2, eval(dtype), sink, overflow="block" if side == "a handler" else "spill")
ring.extend([1, 2])
if side == "push":
    ring.push(3)
elif side == "drain":
    ring.drain(sink)
else:
    signal.signal(signal.SIGALRM, lambda *_: call_back())
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        ring.push(3, timeout=0.5)
    except Exception as error:
        assert type(error).__name__ == "Full"
assert len(refused) == 2 and "in use" in refused[0], refused
if side == "drain":
    assert len(ring) == 0 and ring.stats.spilled == 2
    ring.push(4)
left = list(ring.pop_many())
assert left == {"push": [2, 3], "drain": [4], "a handler": [1, 2]}[side]
ring.push(5)
assert ring.pop() == 5
if children[0] == 0:
    os._exit(0)
assert os.waitpid(children[0], 0)[1] == 0
