"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *


class Both(Sink):
    failed = False

    def __init__(self):
        self.got = []

    def send(self, items):
        if not self.failed:
            self.failed = True
            os.kill(os.getpid(), signal.SIGINT)
            raise OSError
        self.got += list(items)


def use():  # a function: an interrupt at the jump of a loop would leave a try around the loop alone
    global failed
    if len(sink) == 0:
        sink.send(np.arange(5))
    while not (failed and was_interrupted):
        try:
            sink.flush()
        except OSError:
            failed = True


for _ in range(100):
    both = Both()
    sink = BackgroundSink(both, 5)
    failed = was_interrupted = False
    while not (failed and was_interrupted):
        try:
            use()
        except KeyboardInterrupt:
            was_interrupted = True
    sink.close()
    assert both.got == list(range(5)), both.got
print("through")
