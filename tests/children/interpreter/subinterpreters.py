"""A process that has, or had, a subinterpreter: spill_ring is refused there, and works in the main interpreter."""
import asyncio
import sys
import threading
import time

import numpy as np

if sys.version_info >= (3, 13):
    import _interpreters as interpreters

    def create():
        return interpreters.create("legacy")
else:
    import _xxsubinterpreters as interpreters

    def create():
        return interpreters.create(isolated=False)

IMPORT = """
try:
    import spill_ring
except ImportError as error:
    assert "subinterpreter" in str(error), error
else:
    raise AssertionError("spill_ring was imported in a subinterpreter")
"""


def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    return thread


alive = "alive" in sys.argv
subinterpreter = create()
interpreters.run_string(subinterpreter, IMPORT)
if not alive:
    interpreters.destroy(subinterpreter)

from spill_ring import BackgroundSink, CollectSink, LockedSink, MpscRing, SpscRing


def pushes_later(push):
    time.sleep(0.05)
    push(1.0)


for dtype in (None, "f8"):
    ring = SpscRing(8, dtype)
    thread = in_thread(lambda ring=ring: pushes_later(ring.push))
    assert ring.wait(1, 20)
    thread.join()

    ring = SpscRing(1, dtype, overflow="block")
    ring.push(1.0)
    thread = in_thread(lambda ring=ring: ring.push(2.0))
    time.sleep(0.05)
    assert [ring.pop(), ring.wait(1, 20), ring.pop()] == [1.0, True, 2.0]
    thread.join()

    merged = MpscRing(8, dtype, producers=2)
    thread = in_thread(lambda merged=merged: pushes_later(merged.producers[1].push))
    assert merged.wait(1, 20)
    thread.join()

    kept = CollectSink()
    with BackgroundSink(kept, 4) as background:
        for n in range(100):
            background.send(np.array([n], dtype) if dtype else [float(n)])
        background.flush()
    assert len(kept) == 100

    kept = CollectSink()
    shared = LockedSink(kept)
    rings = [SpscRing(1, dtype, shared) for _ in range(2)]
    threads = [in_thread(lambda ring=ring: [ring.push(1.0) for _ in range(1000)]) for ring in rings]
    for thread in threads:
        thread.join()
    assert len(kept) == 1998


async def one_item():
    ring = SpscRing(8, "f8")
    thread = in_thread(lambda: pushes_later(ring.push))
    assert await asyncio.wait_for(ring.wait_async(1), 20)
    thread.join()


asyncio.run(one_item())
print("works")
