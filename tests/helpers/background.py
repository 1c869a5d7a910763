"""Sinks behind a BackgroundSink, and children that have one."""
import threading
import weakref

import numpy as np
import pytest

from helpers.children import complete_child
from helpers.model import Boom
from spill_ring import (
    ArrayRing,
    ObjectRing,
    Sink,
)


def run(name, *args, options=(), status=0):
    """What a child writes; one that hangs is shot after 30 seconds, and says where it was."""
    done = complete_child(f"background/{name}", *args, options=options, status=status, timeout=50)
    return done.stdout.split(), done.stderr


gates = weakref.WeakSet()


class Gate(Sink):
    """Holds on until it is let through; fails as often as `fail` says, having taken `part` items."""

    def __init__(self, is_open=True, fail=0, part=0):
        self.got, self.fail, self.part, self.flushes, self.fail_flush = [], fail, part, 0, 0
        self.gate, self.inside = threading.Event(), threading.Event()
        gates.add(self)
        if is_open:
            self.gate.set()

    def send(self, items):
        self.inside.set()
        self.gate.wait()
        items = list(items) if isinstance(items, np.ndarray) else [items]
        if self.fail:
            self.fail -= 1
            part = min(self.part, len(items) - 1)
            self.got += items[:part]
            raise Boom.after(part)
        self.got += items

    def flush(self):
        if self.fail_flush:
            self.fail_flush -= 1
            raise Boom
        self.flushes += 1

    def numbers(self):
        return [int(n) for n in self.got]


def of_its_own(kind):
    """A subclass whose threads `threads_of` tells from those of any other test, or of this one in another thread."""
    return type(f"{kind.__name__}{threading.get_ident()}", (kind,), {})


def threads_of(kind):
    return [thread for thread in threading.enumerate() if thread.name == f"BackgroundSink of {kind.__name__}"]


def as_items(numbers, typed):
    return np.array(numbers, "i8") if typed else list(numbers)


def hot_ring(typed, sink, capacity=2):
    return ArrayRing(capacity, "i8", sink) if typed else ObjectRing(capacity, sink)

BOTH = pytest.mark.parametrize("typed", [True, False], ids=["typed", "objects"])
