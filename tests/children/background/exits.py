"""Started by test_at_exit_everything_comes_through of test_background.py."""

from helpers.in_child import *

make, then = sys.argv[1:]

sink = BackgroundSink(Write(0.02), 10)
ring = eval(make)
ring.extend(range(8))
exec(then)
