"""The memory of a typed ring: mirrored pages, or the heap where there are none.

Either way a ring sees one flat stretch of twice its turn, in which each run of up to one turn is
contiguous wherever it starts. In mirrored memory the kernel sees to that. On the heap the second
half is scratch: a run that crosses the end is completed there before it is read
(:meth:`Storage.complete_read`) and carried back to the start after it was written
(:meth:`Storage.complete_write`), at the cost of copying the part beyond the end.
"""
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree

from spill_ring._core.cpython cimport PY_SSIZE_T_MAX


cdef extern from "mirror.h" nogil:
    ctypedef struct sr_mirror:
        char *base
        size_t nbytes
        int is_mirrored
    size_t sr_page_size()
    bint sr_mirror_open(sr_mirror *mirror, size_t nbytes)
    void sr_mirror_close(sr_mirror *mirror)


cdef class Storage:
    """Memory that a ring and the views of it share; freed with the last of them.

    Not made by hand: a ring allocates its own, and ``ring.view().base`` shows it.
    """

    def __cinit__(self):
        self.is_mirrored = &never

    def __init__(self):
        raise TypeError("Storage is made by a ring")

    def __dealloc__(self):
        if self.mirror == NULL:
            PyMem_RawFree(self.base)
            return
        sr_mirror_close(<sr_mirror *>self.mirror)
        PyMem_RawFree(self.mirror)

    def __repr__(self):
        return f"<Storage: {self.nbytes} bytes, {self.kind}>"

    @property
    def kind(self):
        """``"mirrored"`` or ``"heap"``."""
        return "mirrored" if self.is_mirrored[0] else "heap"

    @property
    def nbytes(self):
        """Bytes in one turn."""
        return self.nbytes


cdef bint mirror_wanted = True
cdef int never = 0


def use_mirror(bint wanted, /):
    """Choose the memory of the rings made from now on; for tests.

    Parameters
    ----------
    wanted : bool
        False: the heap, as on a platform without mirrored memory.

    Returns
    -------
    bool
        What was chosen before.
    """
    global mirror_wanted
    before = mirror_wanted
    mirror_wanted = wanted
    return before


cdef Storage allocate(Py_ssize_t count, Py_ssize_t itemsize):
    """Zeroed memory whose turn is a power of two of items, at least `count`; MemoryError."""
    cdef Py_ssize_t page = sr_page_size()
    cdef Py_ssize_t turn = 1
    cdef Py_ssize_t whole_pages
    cdef Storage storage
    cdef sr_mirror *mirror
    # Twice a turn must be addressable, and rounding up may double the count.
    if count > PY_SSIZE_T_MAX // 8 // itemsize:
        raise MemoryError(f"{count} items of {itemsize} bytes are more than this machine can address")
    while turn < count:
        turn *= 2
    whole_pages = turn
    while whole_pages * itemsize % page:
        whole_pages *= 2

    storage = Storage.__new__(Storage)
    # Of items of a large, odd size it may take thousands to fill whole pages. That is not worth it.
    if mirror_wanted and whole_pages * itemsize <= max(4 * turn * itemsize, 1 << 20):
        mirror = <sr_mirror *>PyMem_RawCalloc(1, sizeof(sr_mirror))
        if mirror != NULL and sr_mirror_open(mirror, whole_pages * itemsize):
            storage.mirror = mirror
            storage.base = mirror.base
            storage.nbytes = mirror.nbytes
            storage.is_mirrored = &mirror.is_mirrored
            return storage
        PyMem_RawFree(mirror)
    storage.nbytes = turn * itemsize
    storage.base = <char *>PyMem_RawCalloc(2 * turn, itemsize)
    if storage.base == NULL:
        raise MemoryError(f"no memory for {count} items of {itemsize} bytes")
    return storage
