"""Clients in C and numba, by a ring's C interface, beside loops in Cython: u64 items, without the GIL."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from asv_runner.benchmarks.mark import SkipNotImplemented

import spill_ring
from spill_ring import ArrayRing

from .side_by_side import side_by_side

HERE = Path(__file__).parent
COUNT = 1 << 16


def setup_cache():
    """Compile the loops as a user would, in the folder that asv starts this in; returns the folder."""
    sources = [shutil.copy(HERE / name, ".") for name in ("compiled_loops.pyx", "interface_loops.pyx")]
    command = [sys.executable, "-m", "Cython.Build.Cythonize", "--inplace", "-3", *sources]
    installed = str(Path(spill_ring.__file__).parents[1])
    environment = os.environ | {"CFLAGS": f"-O3 -I{spill_ring.get_include()}", "PYTHONPATH": installed}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return os.getcwd()


class Loops:
    unit = "ratio"

    def setup(self, folder):
        sys.path.insert(0, folder)
        import compiled_loops
        import interface_loops

        self.cython, self.c = compiled_loops, interface_loops


def numba_loops(interface):
    """Two loops of numba for a ring of u64."""
    try:
        from numba import carray, njit, types
        from numba.core import cgutils
        from numba.extending import intrinsic
    except ImportError:
        raise SkipNotImplemented("no numba here") from None
    push = interface.push

    @intrinsic
    def at(typing_context, address):
        def codegen(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], cgutils.voidptr_t)

        return types.voidptr(types.intp), codegen

    @njit(nogil=True)
    def push_values(state, next, stop, count):
        """What the header's inline function does."""
        item = np.empty(1, np.uint64)
        window, end = carray(at(next), 1, np.intp), carray(at(stop), 1, np.intp)
        for value in range(count):
            place = window[0]
            if place < end[0]:
                carray(at(place), 1, np.uint64)[0] = value
                window[0] = place + 8
            else:
                item[0] = value
                push(state, item.ctypes, 1)

    @njit(nogil=True)
    def push_blocks(state, block, count):
        for i in range(count):
            block[0] = i
            push(state, block.ctypes, len(block))

    return push_values, push_blocks


class PushValue(Loops):
    def ratio(self, statement, **names):
        """To `push_value`, each into a ring of its own."""
        theirs = ArrayRing(1024, "u8")
        ours, cython = side_by_side(
            statement, "cython(theirs, count)", cython=self.cython.push_values, theirs=theirs, count=COUNT, **names
        )
        return ours / cython

    def track_c(self, folder):
        """`spill_ring_push_u8` over the inline `push_value`, dropping; target ≤ 1.5."""
        return self.ratio("c(capsule, count)", c=self.c.by_interface, capsule=ArrayRing(1024, "u8").capsule)

    def track_numba(self, folder):
        """The same steps in numba over the inline `push_value`; target ≤ 1.5."""
        interface = ArrayRing(1024, "u8").ctypes
        loop, _ = numba_loops(interface)
        state, next, stop = interface.state, interface.next, interface.stop
        loop(state, next, stop, 1)
        return self.ratio("loop(state, next, stop, count)", loop=loop, state=state, next=next, stop=stop)


class PushBlock(Loops):
    unit = "ns"
    calls = 4096

    def more(self, statement, block, **names):
        """Nanoseconds a call above those of `push_block`."""
        ours, cython = side_by_side(
            statement, "cython(theirs, block, calls)", cython=self.cython.push_blocks, theirs=ArrayRing(1024, "u8"),
            block=block, calls=self.calls, **names,
        )  # fmt: skip
        return (ours - cython) / self.calls

    def track_c(self, folder):
        """`push` of 16 above `push_block`, dropping; target ≤ 5."""
        return self.more(
            "c(capsule, block, calls)", np.zeros(16, "u8"), c=self.c.blocks_by_interface,
            capsule=ArrayRing(1024, "u8").capsule,
        )  # fmt: skip

    def track_numba(self, folder):
        """`push` of 16 above `push_block`, dropping; target ≤ 5."""
        interface = ArrayRing(1024, "u8").ctypes
        block = np.zeros(16, "u8")
        _, loop = numba_loops(interface)
        loop(interface.state, block, 1)
        return self.more("loop(state, block, calls)", block, loop=loop, state=interface.state)


class NativeSink(Loops):
    unit = "ns"
    calls = 4096

    def track_a_call(self, folder):
        """What a C function costs as the sink of blocks of 16 above a sink of Cython's; target ≤ 5."""
        native, cython = (ArrayRing(16, "u8", sink) for sink in (self.c.native_sink(), self.c.CountSink()))
        ours, theirs = side_by_side(
            "push(native, block, calls)", "push(cython, block, calls)", push=self.cython.push_blocks, native=native,
            cython=cython, block=np.zeros(16, "u8"), calls=self.calls,
        )  # fmt: skip
        return (ours - theirs) / self.calls
