"""Items and blocks out. Each turn puts back what it takes, so that the ring stays full."""
import numpy as np

from spill_ring import SpillRing


class Pop:
    params = ([16, 65536], [None, "f8", "i4"])
    param_names = ("capacity", "dtype")

    def setup(self, capacity, dtype):
        self.ring = SpillRing(capacity, dtype)
        self.ring.extend([0] * capacity)

    def time_pop_and_push_1000(self, capacity, dtype):
        pop, push = self.ring.pop, self.ring.push
        for _ in range(1000):
            pop()
            push(1)


class PopBlock:
    params = ([4096, 65536], [1, 4096], ["f8", "(8,)f4"])
    param_names = ("capacity", "block", "dtype")

    def setup(self, capacity, block, dtype):
        self.ring = SpillRing(capacity, dtype)
        self.ring.extend(np.zeros(capacity, dtype))
        self.block = np.zeros(block, dtype)

    def time_pop_many(self, capacity, block, dtype):
        self.ring.extend(self.ring.pop_many(block))

    def time_pop_into(self, capacity, block, dtype):
        self.ring.pop_into(self.block)
        self.ring.extend(self.block)
