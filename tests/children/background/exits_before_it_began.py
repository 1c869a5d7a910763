"""Started by test_at_exit_a_sink_that_has_not_begun_begins of test_background.py."""

from helpers.in_child import *

make = sys.argv[1]

sink = BackgroundSink(Write(), 10)
ring = eval(make)
ring.extend(range(3))
