"""Records, forks a child that lives on, prints its number, and waits to be killed. Arguments: folder, how it forks."""
import ctypes
import os
import sys
import time

import numpy as np

from spill_ring import DiskSink

sink = DiskSink(sys.argv[1], sync="never")
sink.send(np.arange(10))
# The second way calls no handler of Python's.
child = os.fork() if sys.argv[2] == "fork" else ctypes.CDLL(None).fork()
if child == 0:
    time.sleep(120)
    os._exit(0)
os.write(1, b"%d\n" % child)
time.sleep(120)
