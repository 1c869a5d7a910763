"""Checks that records keep nothing alive. Argument: the check."""
import gc
import sys
import weakref
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from helpers.memory import growth
from spill_ring import ArrayRing, record


def check_no_leak():
    tag = b"tag" * 10

    @record
    @dataclass
    class Held:
        tag: Annotated[bytes, "S30"]
        frame: Annotated[np.ndarray, ("f8", (50,))]

    ring = ArrayRing(8, Held)
    frame = np.zeros(50)
    item = Held(tag, frame)

    def work():
        for _ in range(200):
            ring.push(item)
            ring.extend([item] * 3)
            ring.peek()
            ring.pop()
            assert item in ring
            try:
                ring.push(Held("x", frame))
            except TypeError:
                pass

    work()
    gc.collect()
    before = sys.getrefcount(tag), sys.getrefcount(frame), sys.getrefcount(Held), sys.getrefcount(item)
    assert growth(work) < 20_000  # an object in each turn would be more
    assert (sys.getrefcount(tag), sys.getrefcount(frame), sys.getrefcount(Held), sys.getrefcount(item)) == before


def check_that_a_class_goes_away():
    def use():
        @record
        @dataclass
        class Brief:
            x: float

        ring = ArrayRing(3, Brief)
        ring.push(Brief(1.0))
        return weakref.ref(Brief)

    gone = use()
    for _ in range(5):  # without a GIL once is not enough
        gc.collect()
    assert gone() is None


globals()[sys.argv[1]]()
