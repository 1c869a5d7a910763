"""Started by tests/threads/test_background.py."""

import warnings

from helpers.in_child import *

warnings.simplefilter("ignore")
gate, got = [], []


def slow(block):
    while not gate:
        time.sleep(0.001)
    got.extend(block.tolist())


sink = BackgroundSink(slow, 4)
ring = ArrayRing(2, "i8", sink)
thread = threading.Thread(target=ring.extend, args=(range(40),), daemon=True)
thread.start()
while len(sink) < 4:
    time.sleep(0.001)
pid = os.fork()
gate.append(1)
if pid == 0:
    sink.send(np.array([99]))
    sink.flush()
    assert got[-1] == 99, got
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
thread.join()
ring.close()
assert got == list(range(40)), got
print("through")
