"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *

then = sys.argv[1]


class Slow(Sink):
    got = []
    flushes = 0

    def send(self, items):
        self.got += list(items)

    def flush(self):
        inside.set()
        gate.wait()
        time.sleep(0.05)
        Slow.flushes += 1


gate, inside = threading.Event(), threading.Event()
sink = BackgroundSink(Slow(), 10)
sink.send(np.arange(3))
threading.Thread(daemon=True, target=lambda: [inside.wait(), interrupt(0.02)]).start()
assert interrupted(sink.flush)
threading.Timer(0.05, gate.set).start()
exec(then)
assert Slow.flushes >= 2 and Slow.got == list(range(len(Slow.got))), (Slow.flushes, Slow.got)
print(len(Slow.got))
