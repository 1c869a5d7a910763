"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *

make = sys.argv[1]

sink = BackgroundSink(Write(), 10)
ring = eval(make)
ring.extend(range(3))
