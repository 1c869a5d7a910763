"""Blocks in."""
from statistics import median

import numpy as np
from numcircbuf import OverwriteCircBuffer
from numpy_ringbuffer import RingBuffer

from spill_ring import ArrayRing, SpillRing

from .side_by_side import side_by_side


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

    def track_over_numpy_ringbuffer(self, block):
        """Over numpy-ringbuffer's `extend`; target ≤ 0.05."""
        return self.over(RingBuffer(4096))

    def track_over_assignment(self, block):
        """Over `buf[:n] = block`; target < 1."""
        ours, theirs = side_by_side(
            "extend(block)", "buf[:n] = block",
            extend=self.ring.extend, buf=self.full, n=block, block=self.block,
        )
        return ours / theirs


class LargeBlocks:
    """float64 blocks into a full ring that holds one."""

    unit = "ratio"
    params = (4096, 16384, 65536, 1 << 20)
    param_names = ("block",)

    def track_over_copyto(self, block):
        """Over `np.copyto` into an array of the ring's size; target ≤ 1.05."""
        ratios, kept = [], []
        for _ in range(5):  # which physical pages an allocation gets, and keeps, is luck: at 1M worth a third
            ring, buf, items = ArrayRing(block), page_aligned(block), page_aligned(block)
            ring.extend(buf)
            ours, theirs = side_by_side(
                "extend(items)", "copyto(buf, items)", extend=ring.extend, copyto=np.copyto, buf=buf, items=items
            )
            ratios.append(ours / theirs)
            kept.append((ring, buf, items))  # or the next gets the same pages
        return median(ratios)


def page_aligned(count):
    """Ones that start where a page does, as a ring's memory does: that alone is worth a factor of up to 2."""
    memory = np.ones(count + 512)  # zeros would all be read from the kernel's one page of them
    return memory[-memory.ctypes.data % 4096 // 8 :][:count]
