"""Started by tests/threads/test_mpsc.py."""

import faulthandler
import sys
import threading

faulthandler.dump_traceback_later(60, exit=True)
from spill_ring import FileSink, MpscRing, ProducerSink

ring = MpscRing(4, "u1", ProducerSink(lambda i: FileSink(open(f"{sys.argv[1]}/{i}", "wb"))), producers=3)
for i in range(3):
    threading.Thread(target=ring.producers[i].extend, args=(range(65 + i, 75 + i),), daemon=True).start()
ring.producers[2].wait(4)
while ring.stats.pushed < 30:
    pass
ring.producers[1].close()
