"""Started by tests/threads/test_spsc_lifetime.py."""

import os
import sys
import threading
import time

from helpers.forks import forked
from spill_ring import SpscRing

dtype = eval(sys.argv[1])


def inside(call, side):
    threading.Thread(target=call, daemon=True).start()
    while True:
        try:
            side()
        except RuntimeError:
            return
        time.sleep(0.001)


# a consumer that waits for ever
ring = SpscRing(4, dtype)
got = []
inside(lambda: got.append(ring.pop(timeout=None)), lambda: ring.wait(0))


def check():
    ring.extend([1, 2, 3])
    assert list(ring.pop_many(2, timeout=None)) == [1, 2] and ring.wait(1)
    threading.Thread(daemon=True, target=lambda: (time.sleep(0.02), ring.push(4))).start()
    assert ring.wait(2, timeout=20)
    inside(lambda: ring.wait(4), lambda: ring.wait(0))  # and the child's own are refused
    try:
        ring.pop()
    except RuntimeError:
        ring.close()
        return
    os._exit(3)


forked(check)
assert len(ring) == 0 and ring.stats.pushed == 0 and not got
ring.push(9)
while not got:
    time.sleep(0.001)
assert got == [9]

# both sides at once
ring = SpscRing(4, dtype, overflow="block")
ring.extend([0, 1, 2, 3])
go_on, taken = threading.Event(), threading.Event()


def read():
    with ring.read(2):
        go_on.wait()
    taken.wait()  # A producer that waits is told that its consumer is gone when this thread ends.


inside(read, lambda: ring.wait(0))
inside(lambda: ring.extend([4, 5, 6, 7, 8]), lambda: ring.try_extend([]))


def check():
    got = list(ring.pop_many())
    assert got == list(range(len(got))) and 4 <= len(got) <= 6, got
    ring.extend([10, 11])
    assert list(ring.pop_many()) == [10, 11]
    ring.close()


for _ in range(2):
    forked(check)
    forked(lambda: forked(check))
go_on.set()
total = []
while len(total) < 7:
    try:
        total.extend(ring.pop_many(timeout=20))
    except RuntimeError:  # it still reads
        time.sleep(0.001)
taken.set()
assert total == [2, 3, 4, 5, 6, 7, 8], total

# who forks goes on with what it is in the middle of
ring = SpscRing(4, dtype)
ring.extend([1, 2, 3])
with ring.read(2):

    def check():
        pass

    child = os.fork()
if child == 0:
    os._exit(0 if list(ring.pop_many()) == [3] else 1)
assert os.waitpid(child, 0)[1] == 0 and list(ring.pop_many()) == [3]
if dtype is not None:
    with ring.reserve(2) as block:
        block[:] = 7
        child = os.fork()
    if child == 0:
        os._exit(0 if list(ring.pop_many()) == [7, 7] else 1)
    assert os.waitpid(child, 0)[1] == 0 and list(ring.pop_many()) == [7, 7]
