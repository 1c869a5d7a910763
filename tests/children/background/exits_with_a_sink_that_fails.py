"""Started by test_at_exit_a_sink_that_fails_warns of test_background.py."""

from helpers.in_child import *

ring = eval(sys.argv[1])
ring.extend(range(9))
time.sleep(float(sys.argv[2]))
