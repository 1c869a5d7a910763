"""One item at a time."""
from collections import deque

import numpy as np
from numcircbuf import OverwriteCircBuffer

from spill_ring import ArrayRing, CollectSink, ObjectRing, SpillRing

from .side_by_side import side_by_side


class Push:
    params = ([16, 65536], [None, "f8", "i4", "S16"])
    param_names = ("capacity", "dtype")

    def setup(self, capacity, dtype):
        self.ring = SpillRing(capacity, dtype)
        self.items = [b"item" if dtype == "S16" else i for i in range(1000)]

    def time_push_1000(self, capacity, dtype):
        push = self.ring.push
        for item in self.items:
            push(item)

    def time_try_push_1000(self, capacity, dtype):
        try_push = self.ring.try_push
        for item in self.items:
            try_push(item)


class Ratios:
    unit = "ratio"

    def track_object_ring_over_deque(self):
        """`ObjectRing.push` over `deque(maxlen).append`; target ≤ 1."""
        ring = ObjectRing(1024)
        items = deque(maxlen=1024)
        ring.extend(range(1024))
        items.extend(range(1024))
        ours, theirs = side_by_side("push(item)", "append(item)", push=ring.push, append=items.append, item=object())
        return ours / theirs

    track_object_ring_over_deque.at_most = 3.0

    def track_deque_over_collecting_object_ring(self):
        """The fastest Python that spills from a deque over `ObjectRing.push` into a `CollectSink`; target ≥ 2."""
        sink = CollectSink()
        ring = ObjectRing(1024, sink)
        ring.extend(range(1024))
        items = deque(range(1024), maxlen=1024)
        spilled = []

        def push(item, items=items, spill=spilled.append, append=items.append):
            if len(items) == 1024:
                spill(items[0])
            append(item)

        ours, *theirs = side_by_side(
            "ring_push(item)",
            "push(item)",
            # written out where it is needed, which saves the call
            "if len(items) == 1024: spill(items[0])\nappend(item)",
            "if len(items) == 1024: spill(popleft())\nappend(item)",
            setup="sink.take(); spilled.clear()",
            sink=sink,
            spilled=spilled,
            ring_push=ring.push,
            push=push,
            items=items,
            spill=spilled.append,
            append=items.append,
            popleft=items.popleft,
            item=object(),
        )
        return min(theirs) / ours

    track_deque_over_collecting_object_ring.at_least = 0.7

    def track_array_ring_over_numcircbuf(self):
        """`ArrayRing.push` of a float over numcircbuf's `append`; target ≤ 1."""
        ring = ArrayRing(1024)
        theirs = OverwriteCircBuffer(1024, "never", np.float64)
        for held in (ring, theirs):
            held.extend(np.zeros(1024))
        ours, theirs = side_by_side("push(1.5)", "append(1.5)", push=ring.push, append=theirs.append)
        return ours / theirs

    track_array_ring_over_numcircbuf.at_most = 2.5
