"""Reading without removing."""
import numpy as np

from spill_ring import ArrayRing, SpillRing

from .side_by_side import side_by_side


class Look:
    params = ([16, 65536], [None, "f8", "(8,)f4"])
    param_names = ("capacity", "dtype")

    def setup(self, capacity, dtype):
        self.ring = SpillRing(capacity, dtype)
        # half of it twice, so that the content crosses the memory's end
        for _ in range(3):
            self.ring.extend([0] * (capacity // 2) if dtype is None else np.zeros(capacity // 2, dtype))
        self.middle = capacity // 2

    def time_latest_16(self, capacity, dtype):
        self.ring.latest(16)

    def time_getitem(self, capacity, dtype):
        self.ring[self.middle]

    def time_slice_8(self, capacity, dtype):
        self.ring[self.middle - 8 : self.middle]

    def time_iterate(self, capacity, dtype):
        for _ in self.ring:
            pass


class View:
    params = ([16, 65536], ["f8", "(8,)f4"])
    param_names = ("capacity", "dtype")

    def setup(self, capacity, dtype):
        self.ring = ArrayRing(capacity, dtype)
        self.ring.extend(np.zeros(capacity, dtype))

    def time_view(self, capacity, dtype):
        self.ring.view()

    def time_asarray(self, capacity, dtype):
        np.asarray(self.ring)


def track_view_of_16_over_16_million():
    """`view()` of 16 items over `view()` of 16 million; target ≥ 0.9."""
    small, large = ArrayRing(16), ArrayRing(16_000_000)
    for ring in (small, large):
        ring.extend(np.zeros(ring.capacity))
    few, many = side_by_side("small()", "large()", small=small.view, large=large.view)
    return few / many


track_view_of_16_over_16_million.unit = "ratio"
track_view_of_16_over_16_million.at_least = 0.3
