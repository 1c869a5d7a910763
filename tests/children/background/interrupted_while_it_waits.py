"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *

call = compile(sys.argv[1], "call", "eval")  # an interrupt in the eval() of a text spoils the exit status


class Slow(Sink):
    got = []

    def send(self, items):
        gate.wait()
        self.got += list(items)


gate = threading.Event()
sink = BackgroundSink(Slow(), 3)
ring = ArrayRing(1, "i8", sink)
sink.send(np.arange(3))
interrupt(0.1)
start = time.monotonic()
assert interrupted(lambda: eval(call))
assert time.monotonic() - start < 10 and not sink.closed
gate.set()
waiting = len(ring)
ring.clear()
sink.flush()
before = len(Slow.got)
sink.send(np.arange(before, 50))
sink.flush()
assert Slow.got == list(range(50)), Slow.got
sink.close()
print("through")
