"""Where the C headers are, for compiled code that uses them."""
from pathlib import Path


def get_include() -> str:
    """The folder to compile with, for C and C++, and for ``from spill_ring.spsc_ring cimport SpscRing``.

    Returns
    -------
    str
        ``#include <spill_ring/spsc.h>`` finds the C core there, ``<spill_ring/interface.h>`` what
        `ring.capsule` holds.
    """
    return str(Path(__file__).parent.parent / "include")
