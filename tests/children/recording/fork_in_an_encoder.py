"""Forks in an encoder; the child is refused. Argument: folder."""
import os
import sys

from spill_ring import DiskSink, ObjectRing, SpillLog

folder = sys.argv[1]
top = os.getpid()
class Encoder:
    name = "e"
    child = None
    def encode(self, value):
        if value == "x50" and os.getpid() == top:
            self.child = os.fork()
        return value.encode()
    def decode(self, data):
        return data.decode()
encoder = Encoder()
sink = DiskSink(folder, segment_bytes=300, encoder=encoder)
ring = ObjectRing(1, sink)
try:
    ring.extend([f"x{i}" for i in range(200)])
except RuntimeError as error:
    os._exit(7 if os.getpid() != top and "belongs to the process" in str(error) else 1)
if os.getpid() != top:
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(encoder.child, 0)[1]) == 7
ring.close()
log = SpillLog(folder, encoder=encoder)
assert log.verify() == [] and list(log) == [f"x{i}" for i in range(200)]
