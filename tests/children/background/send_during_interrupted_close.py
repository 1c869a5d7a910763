"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *


class Slow(Sink):
    def send(self, items):
        pass

    def close(self):
        inside.set()
        gate.wait()
        super().close()


gate, inside = threading.Event(), threading.Event()
sink = BackgroundSink(Slow(), 10)
sink.send(np.arange(3))
threading.Thread(daemon=True, target=lambda: [inside.wait(), interrupt(0.02)]).start()
assert interrupted(sink.close)
threading.Timer(0.1, gate.set).start()
for call in (lambda: sink.send(np.arange(50)), sink.close):
    try:
        call()
    except ValueError as error:
        print("closed" in str(error), len(sink))
del sink, call
