"""Making a ring, and letting go of it."""
from spill_ring import SpillRing


class Construct:
    params = ([16, 4096, 1 << 20], [None, "f8", "(8,)f4"])
    param_names = ("capacity", "dtype")

    def time_construct(self, capacity, dtype):
        SpillRing(capacity, dtype)
