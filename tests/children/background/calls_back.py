"""Started by tests/threads/test_background_chains.py."""

from helpers.in_child import *


class Back(Sink):
    def __init__(self, call):
        self.call, self.errors, self.got = call, [], []

    def send(self, items):
        self.got += list(items)
        if not self.errors:
            try:
                self.call()
            except RuntimeError as error:
                self.errors.append(str(error))


for call in (
    lambda: sink.flush(),
    lambda: sink.close(),
    lambda: sink.send(np.arange(100, 110)),
    lambda: ring.extend(range(100, 110)),
    lambda: ring.flush(),
    lambda: ring.close(),
):
    back = Back(call)
    sink = BackgroundSink(back, 4)
    ring = ArrayRing(2, "i8", sink)
    ring.push(0), ring.push(1), ring.push(2)
    while not back.errors:
        time.sleep(0.001)
    assert "in use" in back.errors[0], back.errors
    ring.clear()
    sink.close()
    own = [n for n in back.got if n >= 100]
    assert own == list(range(100, 100 + len(own))) and back.got[0] == 0
