"""Started by tests/threads/test_spsc_waiting.py."""

import os
import signal
import sys
import threading
import time

from spill_ring import ArrayRing, SpscRing

for name, call in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    ring = SpscRing(4, "f8")
    full = SpscRing(2, "f8", overflow="block")
    full.extend([1, 2])
    start = 0

    def interrupt():
        global start
        time.sleep(0.05)
        start = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(daemon=True, target=interrupt)
    thread.start()
    try:
        eval(compile(call, name, "eval"))  # an interrupt in the eval() of a text spoils the exit status
    except KeyboardInterrupt:
        late = time.monotonic() - start
        thread.join()
        ring.push(1.0)
        assert ring.pop() == 1 and full.pop_many().tolist() == [1, 2]
        full.push(3.0)
        print(name, "prompt" if late < 2 else late)
    else:
        raise SystemExit(name)
