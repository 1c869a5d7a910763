"""Started by test_one_that_was_never_sent_to_says_nothing_in_a_forked_child of test_background.py."""

from helpers.in_child import *

warnings.simplefilter("error", RuntimeWarning)
ring = ArrayRing(2, "i8", BackgroundSink(Write(), 10))
if not (pid := fork()):
    ring.extend(range(5))
    ring.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
ring.close()
