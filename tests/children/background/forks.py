"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *

failing, make, waiting = sys.argv[1:]


class Slow(Sink):
    got = []
    fail = eval(failing)

    def send(self, items):
        inside.append(1)
        while not gate:  # an Event would do no good: who held its lock is not in the child
            time.sleep(0.001)
        if Slow.fail:
            Slow.fail = False
            raise OSError
        self.got += items.tolist()


gate, inside = [], []
warnings.filterwarnings("ignore", category=DeprecationWarning)
sink = BackgroundSink(eval(make), 20)
if eval(waiting):
    gate.append(1)
    sink.send(np.arange(5))
    sink.flush()  # its thread waits; one forked between Slow's taking and telling would do it twice
else:
    sink.send(np.arange(5))
    while not inside:
        time.sleep(0.001)
    if Slow.fail:
        gate.append(1)
        while Slow.fail:
            time.sleep(0.001)
pid = fork()
if pid == 0:
    gate.append(1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        sink.send(np.arange(5, 10))
        sink.flush()
        sink.send(np.arange(10, 15))
        sink.close()
    assert [w.category for w in told if "without its thread" in str(w.message)][:1] == [RuntimeWarning], told
    assert Slow.got == list(range(15)), Slow.got
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
gate.append(1)
n = 5
while not sink.closed:
    try:
        if n == 5:
            sink.send(np.arange(5, 10))
            n = 10
        sink.close()
    except OSError:
        pass
assert Slow.got == list(range(10)), Slow.got
print("parent")
