"""Started by tests/threads/test_spsc_lifetime.py."""

import sys
import threading
import time

from spill_ring import FileSink, SpscRing

path, overflow, how = sys.argv[1:]
ring = SpscRing(10, "u1", FileSink(open(path, "wb", buffering=0)), overflow=overflow)
if how == "waiting":  # in the middle of a wait, in a thread that never ends
    threading.Thread(target=lambda: ring.wait(7), daemon=True).start()
    if overflow == "spill":
        ring.extend([97, 98, 99])
    else:
        open(path, "wb").write(b"abc")
else:
    push = lambda: ring.extend([97, 98, 99])
    if how == "daemon":

        def work():
            own = SpscRing(10, "u1", ring, overflow=overflow)
            own.extend([97, 98, 99])
            threading.current_thread().own = own
            done.set()
            time.sleep(60)

        done = threading.Event()
        threading.Thread(target=work, daemon=True).start()
        done.wait()
    else:
        push()
if how == "closed":
    ring.close()
