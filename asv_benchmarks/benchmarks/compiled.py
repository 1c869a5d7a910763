"""Loops in a user's own Cython, without the GIL: u64 items in millions a second."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import spill_ring
from spill_ring import ArrayRing, CollectSink

from .side_by_side import side_by_side

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
