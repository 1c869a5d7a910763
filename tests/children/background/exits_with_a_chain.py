"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *

ring = eval(sys.argv[1])
ring.extend(range(17))
ring.sink.flush()
ring.sink.send(ring.pop_many())
while len(ring.sink):
    time.sleep(0.001)
