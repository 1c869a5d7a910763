"""Started by test_at_exit_a_chain_comes_through of test_background.py."""

from helpers.in_child import *

ring = eval(sys.argv[1])
ring.extend(range(17))
ring.sink.flush()
ring.sink.send(ring.pop_many())
while len(ring.sink):
    time.sleep(0.001)
