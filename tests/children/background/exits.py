"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *

make, then = sys.argv[1:]

sink = BackgroundSink(Write(0.02), 10)
ring = eval(make)
ring.extend(range(8))
exec(then)
