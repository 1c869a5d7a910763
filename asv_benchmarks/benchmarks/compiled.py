"""Loops in a user's own Cython, without the GIL: u64 items in millions a second."""
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np

import spill_ring
from spill_ring import ArrayRing, CollectSink

from .side_by_side import page_aligned, side_by_side

COUNT = 1 << 16


def setup_cache():
    """Compile the loops as a user would, in the folder that asv starts this in; returns the folder."""
    source = shutil.copy(Path(__file__).with_name("compiled_loops.pyx"), ".")
    command = [sys.executable, "-m", "Cython.Build.Cythonize", "--inplace", "-3", source]
    # Cython looks for .pxd files on the path, where an editable install is not
    installed = str(Path(spill_ring.__file__).parents[1])
    environment = os.environ | {"CFLAGS": "-O3", "PYTHONPATH": installed}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return os.getcwd()


class PushValue:
    unit = "M items/s"
    loop = "push_values(ring, count)"
    block = np.zeros(1, "u8")

    def setup(self, folder):
        sys.path.insert(0, folder)

    def rate(self, ring, setup="pass"):
        import compiled_loops

        (time,) = side_by_side(
            self.loop,
            setup=setup,
            push_values=compiled_loops.push_values,
            push_blocks=compiled_loops.push_blocks,
            ring=ring,
            block=self.block,
            count=COUNT // len(self.block),
        )
        return COUNT / time * 1e3

    def track_dropping(self, folder):
        """`push_value` in a loop, dropping; target ≥ 1600, the Rust crate's rate."""
        return self.rate(ArrayRing(1024, "u8"))

    def track_collecting(self, folder):
        """`push_value` in a loop, into a `CollectSink`. The Rust crate's loop does 450."""
        return self.rate(ArrayRing(1024, "u8", CollectSink()), "ring.sink.take()")

    def track_chained(self, folder):
        """`push_value` in a loop, through rings of 8 and 64. The Rust crate's loop does 650."""
        return self.rate(ArrayRing(8, "u8", ArrayRing(64, "u8")))


class PushBlock(PushValue):
    loop = "push_blocks(ring, block, count)"
    block = np.zeros(256, "u8")

    def track_dropping(self, folder):
        """`push_block` of 256 in a loop, dropping."""
        return super().track_dropping(folder)

    def track_collecting(self, folder):
        """`push_block` of 256 in a loop, into a `CollectSink`."""
        return super().track_collecting(folder)

    def track_chained(self, folder):
        """`push_block` of 256 in a loop, through rings of 8 and 64."""
        return super().track_chained(folder)


class OverMemcpy:
    """Blocks as large as the ring, of items of several sizes: from the first cache to memory that none holds."""

    unit = "ratio"
    params = ([16, 1024, 4096, 65536, 1 << 20], [1, 8, 32, 128])
    param_names = ("capacity", "itemsize")
    timeout = 120

    def setup(self, folder, capacity, itemsize):
        if capacity * itemsize <= 4096:
            raise NotImplementedError("a smaller block is OverMemcpyOfLess's")
        sys.path.insert(0, folder)

    def over(self, capacity, itemsize):
        import compiled_loops

        ratios, kept = [], []
        nbytes = capacity * itemsize
        for _ in range(3):  # which physical pages an allocation gets, and keeps, is luck: in caches worth a third
            ring, buffer, block = ArrayRing(capacity, f"V{itemsize}"), page_aligned(nbytes), page_aligned(nbytes)
            ring.extend(block.view(ring.dtype))
            ours, theirs = side_by_side(
                "push(ring, block, items, count)", "copy(buffer, block, count)", turns=100 if nbytes < 1 << 24 else 10,
                push=compiled_loops.push_bytes, copy=compiled_loops.copy_bytes,
                ring=ring, block=block, items=capacity, buffer=buffer, count=max(COUNT // nbytes, 1),
            )
            ratios.append(ours / theirs)
            kept.append((ring, buffer, block))  # or the next gets the same pages
        return median(ratios)

    def track_time(self, folder, capacity, itemsize):
        """A loop of `push_block` over a loop of memcpy into as much memory; target ≤ 1.05."""
        return self.over(capacity, itemsize)

    track_time.at_most = 3.0


class OverMemcpyOfLess(OverMemcpy):
    """The same for blocks of up to 4 KiB, for which a call counts beside the copy."""

    def setup(self, folder, capacity, itemsize):
        if capacity * itemsize > 4096:
            raise NotImplementedError("a larger block is OverMemcpy's")
        sys.path.insert(0, folder)

    def track_time(self, folder, capacity, itemsize):
        """A loop of `push_block` over a loop of memcpy into as much memory."""
        return self.over(capacity, itemsize)
