"""Started by tests/_core/test_storage.py."""

import os
import threading

from spill_ring import ArrayRing, LockedSink

inside, go_on = threading.Event(), threading.Event()


def slow(items):
    if threading.current_thread() is not threading.main_thread():
        inside.set()
        go_on.wait()


shared = LockedSink(slow)
mine, other = ArrayRing(1, sink=shared), ArrayRing(1, sink=shared)
thread = threading.Thread(daemon=True, target=other.extend, args=([1, 2],))
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    mine.extend([1, 2, 3])
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
go_on.set()
thread.join()
