"""Started by tests/_core/test_misuse.py."""

import sys
import threading
import time

from spill_ring import ArrayRing, FileSink

file = open(sys.argv[1], "wb", buffering=0)
ring = ArrayRing(10, "u1", FileSink(file))
ring.extend([97, 98, 99])
threading.Thread(target=lambda: time.sleep(60), daemon=True).start()
