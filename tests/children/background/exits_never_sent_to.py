"""Started by test_one_that_was_never_sent_to_delivers_at_exit of test_background.py."""

from helpers.in_child import *

make = sys.argv[1]

sink = BackgroundSink(Write(), 10)
ring = eval(make)
ring.extend(range(3))
