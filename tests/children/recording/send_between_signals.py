"""Sends to a DiskSink while the handler of a timer raises. Arguments: folder, sync."""
import signal
import sys

import numpy as np

from spill_ring import DiskSink, SpillLog


class Alarm(Exception):
    pass


def handler(*_):
    raise Alarm


sink = DiskSink(sys.argv[1], sync=sys.argv[2], interval=0.001, segment_bytes=3000)
sink.send(np.arange(0))
signal.signal(signal.SIGALRM, handler)
n = alarms = 0
while alarms < 60:
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-4 + (alarms * 37 % 19) * 1e-4)
        while True:
            sink.send(np.arange(n, n + 7))
            n = sink.count
    except Alarm:
        alarms += 1
        n = sink.count
signal.setitimer(signal.ITIMER_REAL, 0)
sink.close()
log = SpillLog(sys.argv[1])
assert log.end == n and log.verify() == [], (log.end, n, log.verify())
assert (log[:] == np.arange(n)).all()
