"""The two sides of an SpscRing in threads of their own."""
import threading
import time
from queue import Empty, SimpleQueue

import pytest

OVERFLOWS = ["spill", "reject", "block"]


def started(call, *args):
    """A thread, and where its outcome will be."""
    outcomes = SimpleQueue()

    def run():
        try:
            outcomes.put(call(*args))
        except BaseException as error:
            outcomes.put(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return outcomes


def finish(outcomes):
    try:
        outcome = outcomes.get(timeout=15)
    except Empty:
        pytest.fail("a thread hangs")
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def waits(ring, side):
    """Until a thread is inside of that side."""
    call = (lambda: ring.try_extend([])) if side == "producer" else (lambda: ring.wait(0))
    for _ in range(3000):
        try:
            call()
        except RuntimeError:
            return
        time.sleep(0.001)
    pytest.fail("nobody waits")


def collect_blocks(ring, n=None):
    got = []
    for block in ring.blocks(n):
        got.extend(block)
    return got
