"""Sinks that note what they get."""
import numpy as np

from spill_ring import (
    ArrayRing,
    Sink,
)


def spill(sink, numbers, dtype="i8", capacity=1):
    """Push numbers through a ring of one into a sink, then flush it."""
    ring = ArrayRing(capacity, dtype, sink)
    ring.extend(numbers)
    ring.flush()
    return ring


class Blocks(Sink):
    """Remembers each block that it is sent."""

    def __init__(self):
        self.blocks = []

    def send(self, items):
        self.blocks.append(items.tolist() if isinstance(items, np.ndarray) else items)
