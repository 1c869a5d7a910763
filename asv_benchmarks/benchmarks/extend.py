"""Blocks in."""
from statistics import median

import numpy as np
from numcircbuf import OverwriteCircBuffer
from numpy_ringbuffer import RingBuffer

from spill_ring import ArrayRing, SpillRing

from .side_by_side import page_aligned, side_by_side


class Extend:
    params = ([1024, 65536], [1, 256, 4096], ["f8", "(8,)f4"])
    param_names = ("capacity", "block", "dtype")

    def setup(self, capacity, block, dtype):
        self.extend = ArrayRing(capacity, dtype).extend
        self.block = np.zeros(block, dtype)

    def time_extend(self, capacity, block, dtype):
        self.extend(self.block)


class Converted:
    """What isn't a block of the ring's own dtype."""

    params = ([1, 4096], [None, "f8"])
    param_names = ("block", "dtype")

    def setup(self, block, dtype):
        self.extend = SpillRing(4096, dtype).extend
        self.list = [0.5] * block
        self.strided = np.zeros(2 * block)[::2]
        self.narrow = np.zeros(block, "f4")

    def time_list(self, block, dtype):
        self.extend(self.list)

    def time_strided(self, block, dtype):
        self.extend(self.strided)

    def time_float32(self, block, dtype):
        self.extend(self.narrow)


class SmallBlocks:
    """float64 blocks into a full ring of 4096."""

    unit = "ratio"
    params = (1, 16, 256)
    param_names = ("block",)

    def setup(self, block):
        self.block = np.random.default_rng(1).random(block)
        self.full = np.zeros(4096)
        self.ring = ArrayRing(4096)
        self.ring.extend(self.full)

    def over(self, theirs):
        theirs.extend(self.full)
        ours, theirs = side_by_side(
            "extend(block)", "their_extend(block)",
            extend=self.ring.extend, their_extend=theirs.extend, block=self.block,
        )
        return ours / theirs

    def track_over_numcircbuf(self, block):
        """Over numcircbuf's `extend`; target ≤ 0.5."""
        return self.over(OverwriteCircBuffer(4096, "never", np.float64))

    track_over_numcircbuf.at_most = 1.3

    def track_over_numpy_ringbuffer(self, block):
        """Over numpy-ringbuffer's `extend`; target ≤ 0.05."""
        return self.over(RingBuffer(4096))

    track_over_numpy_ringbuffer.at_most = 0.09

    def track_over_assignment(self, block):
        """Over `buf[:n] = block`; target < 1."""
        ours, theirs = side_by_side(
            "extend(block)", "buf[:n] = block",
            extend=self.ring.extend, buf=self.full, n=block, block=self.block,
        )
        return ours / theirs

    track_over_assignment.at_most = 0.7


class OverCopyto:
    """Blocks as large as the ring, of items of several sizes: from the first cache to memory that none holds."""

    unit = "ratio"
    params = ([16, 1024, 4096, 65536, 1 << 20], [1, 8, 32, 128])
    param_names = ("capacity", "itemsize")
    timeout = 120

    def track_time(self, capacity, itemsize):
        """`extend` over `np.copyto` into an array of the ring's size; target ≤ 1.05."""
        ratios, kept = [], []
        nbytes = capacity * itemsize
        for _ in range(3):  # which physical pages an allocation gets, and keeps, is luck: in caches worth a third
            ring, buf, data = ArrayRing(capacity, f"V{itemsize}"), page_aligned(nbytes), page_aligned(nbytes)
            items = data.view(ring.dtype)
            ring.extend(items)
            ours, theirs = side_by_side(
                "extend(items)", "copyto(buf, data)", turns=100 if nbytes < 1 << 24 else 10,
                extend=ring.extend, items=items, copyto=np.copyto, buf=buf, data=data,
            )
            ratios.append(ours / theirs)
            kept.append((ring, buf, data))  # or the next gets the same pages
        return median(ratios)

    track_time.at_most = 3.0
