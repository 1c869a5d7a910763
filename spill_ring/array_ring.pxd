"""A ring of numpy items, for Cython: `from spill_ring cimport ArrayRing`.

The methods here want no GIL. They refuse a second entry as the Python ones do, but with the GIL
released nothing orders two threads: one thread at a time is the caller's part.
"""
cimport cython
from libc.string cimport memcpy

from spill_ring.ring cimport Ring
from spill_ring.sink cimport Sink
from spill_ring.storage cimport Storage


ctypedef fused numeric:
    signed char
    unsigned char
    short
    unsigned short
    int
    unsigned int
    long
    unsigned long
    long long
    unsigned long long
    float
    double


cdef inline int scalar_code(numeric *kind) noexcept nogil:
    """Kind and size of a C type in one number, as `ArrayRing.scalar` has it of a dtype."""
    return (0x200 if <numeric>0.5 != 0 else 0x100 if <numeric>-1 < 1 else 0) | <int>sizeof(numeric)


cdef class ArrayRing(Ring):
    cdef Storage storage
    cdef char *base
    cdef long long mask  # items in one turn of the memory, less one
    cdef int scalar  # kind and size, if the items are plain C numbers; else 0
    cdef Py_ssize_t reserved  # items, while a reserve() is open
    cdef object reservation  # the one that Python has open

    # Push `count` items of the ring's dtype. Raises what the sink raises.
    cdef int push_block(self, const void *items, Py_ssize_t count) except -1 nogil
    # Remove up to `count` of the oldest; returns how many.
    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil
    # Room for `count` new items, contiguous, in the ring's own memory; makes it by evicting. The
    # ring refuses everything else until `commit` takes in the first `count` of what was written.
    cdef void *reserve(self, Py_ssize_t count) except NULL nogil
    cdef int commit(self, Py_ssize_t count) except -1 nogil

    cdef int push_any(self, object item) except -1
    cdef int extend_block(self, object block) except -1
    cdef int push_over(self, const void *items, Py_ssize_t count) except -1 nogil
    cdef int push_scalar(self, const void *value, int scalar) except -1 nogil
    cdef char *run(self, long long position, Py_ssize_t count) noexcept nogil
    cdef bint number(self, object item, void *value) except -1
    cdef object live(self)

    @cython.final
    cdef inline bint overlaps(self, void *items) noexcept nogil:
        """Is this the ring's own memory, which a push would write over?"""
        return self.base <= <char *>items < self.base + 2 * self.storage.nbytes

    @cython.final
    cdef inline bint evicts_nothing(self, Py_ssize_t count) noexcept nogil:
        """May `count` items be written with nobody asked? The ring is entered."""
        return count <= self.size and count <= self.limit - self.tail

    @cython.final
    cdef inline void write(self, const void *items, Py_ssize_t count) noexcept nogil:
        """Copy items to where the next ones go. The ring is entered, and has room for them."""
        cdef Py_ssize_t offset = <Py_ssize_t>(self.tail & self.mask) * self.itemsize
        memcpy(self.base + offset, items, count * self.itemsize)
        self.storage.complete_write(offset, count * self.itemsize)
        self.tail += count

    @cython.final
    cdef inline int push_value(self, numeric value) except -1 nogil:
        """Push one number of the C type that the dtype names, for loops that are compiled."""
        if self.tail >= self.limit or self.scalar != scalar_code(&value):
            return self.push_scalar(&value, scalar_code(&value))
        (<numeric *>self.base)[self.tail & self.mask] = value
        self.tail += 1
        return 0
