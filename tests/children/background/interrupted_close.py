"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *


class Slow(Sink):
    def send(self, items):
        pass

    def close(self):
        inside.set()
        gate.wait()
        super().close()
        print("inner", self.closed)


gate, inside = threading.Event(), threading.Event()
sink = BackgroundSink(Slow(), 10)
sink.send(np.arange(3))
threading.Thread(daemon=True, target=lambda: [inside.wait(), interrupt(0.02)]).start()
assert interrupted(sink.close)
gate.set()
while threading.active_count() > 1:
    time.sleep(0.001)
for call in (lambda: sink.send(np.arange(3)), sink.flush):
    try:
        call()
    except ValueError as error:
        print("closed" in str(error))
sink.close()
print(sink.closed)
