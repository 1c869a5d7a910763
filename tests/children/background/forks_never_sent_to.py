"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *

warnings.simplefilter("error", RuntimeWarning)
ring = ArrayRing(2, "i8", BackgroundSink(Write(), 10))
if not (pid := fork()):
    ring.extend(range(5))
    ring.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
ring.close()
