"""The memory of a typed ring: mirrored pages, or the heap where there are none.

Either way a ring sees one flat stretch of twice its turn, in which each run of up to one turn is
contiguous wherever it starts. In mirrored memory the kernel sees to that. On the heap the second
half is scratch: a run that crosses the end is completed there before it is read
(:meth:`Storage.complete_read`) and carried back to the start after it was written
(:meth:`Storage.complete_write`), at the cost of copying the part beyond the end.
"""
import os
import threading
import weakref

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree


cdef extern from "storage.h" nogil:
    size_t sr_page_size()
    char *sr_mirror_map(size_t nbytes)
    void sr_mirror_unmap(char *base, size_t nbytes)
    int sr_mirror_snapshot(const char *base, size_t nbytes)
    int sr_mirror_over(char *base, size_t nbytes, int fd)
    void sr_close_file(int fd)


cdef extern from *:
    const Py_ssize_t PY_SSIZE_T_MAX


cdef class Storage:
    """Memory that a ring and the views of it share; freed with the last of them.

    Not made by hand: a ring allocates its own, and ``ring.view().base`` shows it.
    """

    def __init__(self):
        raise TypeError("Storage is made by a ring")

    def __dealloc__(self):
        if self.base == NULL:
            return
        if self.is_mirrored:
            sr_mirror_unmap(self.base, self.nbytes)
        else:
            PyMem_RawFree(self.base)

    def __repr__(self):
        return f"<Storage: {self.nbytes} bytes, {self.kind}>"

    @property
    def kind(self):
        """``"mirrored"`` or ``"heap"``."""
        return "mirrored" if self.is_mirrored else "heap"

    @property
    def nbytes(self):
        """Bytes in one turn."""
        return self.nbytes


cdef bint mirror_wanted = True


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
    # twice a turn must be addressable, and rounding up may double the count
    if count > PY_SSIZE_T_MAX // 8 // itemsize:
        raise MemoryError(f"{count} items of {itemsize} bytes are more than this machine can address")
    while turn < count:
        turn *= 2
    whole_pages = turn
    while whole_pages * itemsize % page:
        whole_pages *= 2

    storage = Storage.__new__(Storage)
    # Large items of an odd size may need thousands of them to fill whole pages: not worth it. And a
    # process has some 65,000 mappings, which thousands of rings must not use up for all the rest.
    if mirror_wanted and len(mirrored) < 8192 and whole_pages * itemsize <= max(4 * turn * itemsize, 1 << 20):
        storage.nbytes = whole_pages * itemsize
        storage.base = sr_mirror_map(storage.nbytes)
        storage.is_mirrored = storage.base != NULL
    if storage.is_mirrored:
        mirrored.add(storage)
    else:
        storage.nbytes = turn * itemsize
        storage.base = <char *>PyMem_RawCalloc(2 * turn, itemsize)
        if storage.base == NULL:
            raise MemoryError(f"no memory for {count} items of {itemsize} bytes")
    return storage


# Mirrored pages are shared mappings, so a forked child would write into its parent's rings. Before
# the fork each is copied to pages that will be the child's, and the child maps those over its own,
# at the same addresses: its rings and views hold on. (Copying in the child instead would race with
# a parent that goes on.) Memory and time at a fork: the size of the mirrored rings.
cdef object mirrored = weakref.WeakSet()
cdef dict snapshots = {}  # thread that forks -> [(storage, file descriptor)]


cdef int give_own_pages(Storage storage, int fd) except -1:
    if fd < 0:
        fd = sr_mirror_snapshot(storage.base, storage.nbytes)
    if fd < 0 or sr_mirror_over(storage.base, storage.nbytes, fd) != 0:
        # To go on would be to write into the parent's memory.
        os.write(2, b"spill_ring: no memory for a forked process's own copy of its rings\n")
        os._exit(70)
    sr_close_file(fd)
    return 0


def _before_fork():
    cdef Storage storage
    taken = snapshots[threading.get_ident()] = []
    for storage in list(mirrored):
        taken.append((storage, sr_mirror_snapshot(storage.base, storage.nbytes)))


def _after_fork_in_parent():
    for _, fd in snapshots.pop(threading.get_ident(), ()):
        if fd >= 0:
            sr_close_file(fd)


def _after_fork_in_child():
    # All of them, also one that another thread made after the snapshots.
    cdef Storage storage
    files = {id(storage): fd for storage, fd in snapshots.pop(threading.get_ident(), ())}
    snapshots.clear()
    for storage in list(mirrored):
        give_own_pages(storage, files.get(id(storage), -1))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
