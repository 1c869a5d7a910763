"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *

ring = eval(sys.argv[1])
ring.extend(range(9))
time.sleep(float(sys.argv[2]))
