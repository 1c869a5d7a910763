"""Where a full ring's oldest go: chains of rings, and the sinks that need no I/O."""
import numpy as np

from spill_ring import ArrayRing, BatchSink, CollectSink, DropSink, FnSink, ObjectRing, ReduceSink, TeeSink

from .side_by_side import side_by_side

SINKS = {
    "none": lambda: None,
    "collect": CollectSink,
    "batch": lambda: BatchSink(1000, DropSink()),
    "reduce": lambda: ReduceSink(8, np.maximum, DropSink()),
    "tee": lambda: TeeSink(DropSink(), DropSink()),
    "fn": lambda: FnSink(len),
}


class TypedSinks:
    params = (list(SINKS), [1, 256], ["f8", "(8,)f4"])
    param_names = ("sink", "block", "dtype")

    def setup(self, sink, block, dtype):
        self.sink = SINKS[sink]()
        self.ring = ArrayRing(1024, dtype, self.sink)
        self.ring.extend(np.zeros(1024, dtype))
        self.block = np.zeros(block, dtype)

    def time_extend_16_times(self, sink, block, dtype):
        for _ in range(16):
            self.ring.extend(self.block)
        if sink == "collect":  # or it grows for as long as asv cares to run
            self.sink.take()


class ObjectSinks:
    params = ("none", "collect", "batch", "tee", "fn")
    param_names = ("sink",)

    def setup(self, sink):
        self.sink = FnSink(id) if sink == "fn" else SINKS[sink]()
        self.ring = ObjectRing(1024, self.sink)
        self.ring.extend(range(1024))

    def time_push_1000(self, sink):
        push = self.ring.push
        for item in range(1000):
            push(item)
        if sink == "collect":
            self.sink.take()


class Chain:
    params = ([64, 4096], [1, 4096], ["f8", "(8,)f4"])
    param_names = ("capacity", "block", "dtype")

    def setup(self, capacity, block, dtype):
        self.ring = ArrayRing(capacity, dtype, ArrayRing(16 * capacity, dtype))
        self.ring.extend(np.zeros(17 * capacity, dtype))
        self.block = np.zeros(block, dtype)

    def time_extend(self, capacity, block, dtype):
        self.ring.extend(self.block)

    def time_extend_and_drain(self, capacity, block, dtype):
        self.ring.extend(self.block)
        self.ring.drain(self.ring.sink)


def single_and_chain(block):
    """Nanoseconds to extend a full ring, and a full ring that spills into another, by a block of float64."""
    single, chain = ArrayRing(4096), ArrayRing(4096, sink=ArrayRing(4096))
    for ring in (single, chain):
        ring.extend(np.zeros(2 * 4096))
    block = np.ones(block)
    return side_by_side("single(block)", "chain(block)", single=single.extend, chain=chain.extend, block=block)


def track_chain_over_single_4096():
    """Extending a chain of two rings by 4096 items over extending one; target ≤ 2.2."""
    single, chain = single_and_chain(4096)
    return chain / single


track_chain_over_single_4096.unit = "ratio"
track_chain_over_single_4096.at_most = 6.0


def track_chain_beyond_single_16():
    """What the second ring of a chain adds to an extend by 16 items; target ≤ 25."""
    single, chain = single_and_chain(16)
    return chain - single


track_chain_beyond_single_16.unit = "ns"
