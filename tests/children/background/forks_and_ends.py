"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *

end = sys.argv[1]

gate = []


class Slow(Sink):
    def send(self, items):
        while not gate:
            time.sleep(0.001)
        os.write(1, b"".join(b"%d " % n for n in items))


sink = BackgroundSink(Slow(), 20)
ring = ArrayRing(2, "i8", sink)
ring.extend(range(5))
warnings.simplefilter("ignore")
pid = fork()
gate.append(1)
if pid == 0:
    exec(end)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
ring.close()
