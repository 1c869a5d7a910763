"""Started by tests/threads/test_mpsc.py."""

import faulthandler
import os

faulthandler.dump_traceback_later(60, exit=True)
from spill_ring import MpscRing, Sink


class Forks(Sink):
    pid = None

    def send(self, items):
        if self.pid is None:
            Forks.pid = os.fork()


ring = MpscRing(4, "i8", producers=2)
ring.producers[0].extend([1, 2])
ring.producers[1].extend([3, 4])
ring.drain(Forks())
if Forks.pid == 0:
    ring.producers[0].push(5)
    assert ring.pop_many().tolist() == [5] and not ring.wait(timeout=0.01)
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(Forks.pid, 0)[1]) == 7
assert ring.stats == (4, 0, 4, 0) and ring.is_empty
print("through")
