"""A ring of numpy items, for Cython: `from spill_ring cimport ArrayRing`.

The methods here want no GIL. They refuse a second entry as the Python ones do, and the first call takes the GIL once,
to make the way in atomic (`make_atomic` in chain.pxd). But `push_value` checks only the C type: only one thread at a
time may use a ring to which `push_value` pushes, and the `CollectSink` or `ArrayRing` behind it, into which it writes
without a call.
"""
cimport cython

from spill_ring._core.scalar cimport numeric, scalar_index
from spill_ring.rings.typed cimport TypedRing


cdef class ArrayRing(TypedRing):
    cdef object record  # the Dataclass whose instances the items are; None: they are numpy's

    # Push `count` items of the ring's dtype. Raises what the sink raises.
    cdef int push_block(self, const void *items, Py_ssize_t count) except -1 nogil
    # Remove up to `count` of the oldest; returns how many.
    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil
    # Free `count` contiguous slots in the ring's own memory, by evicting if need be, and return where they begin. The
    # ring refuses everything else until `commit` pushes the first `count` of what was written there.
    cdef void *reserve(self, Py_ssize_t count) except NULL nogil
    cdef int commit(self, Py_ssize_t count) except -1 nogil

    cdef int push_scalar(self, const void *value, int scalar) except -1 nogil
    cdef int push_any(self, object item) except -1
    cdef int extend_block(self, object block) except -1

    @cython.final
    cdef object live(self)  # a view of the resident items

    # Not in TypedRing: Cython finds no inherited method with a fused type.
    @cython.final
    cdef inline int push_value(self, numeric value) except -1 nogil:
        """Push one number of the C type that the dtype names, for loops that are compiled."""
        cdef numeric copy
        cdef int scalar = scalar_index(<numeric *>NULL)
        cdef char *dest = self.cursor
        if dest >= self.stops[scalar]:
            if dest >= self.evicting_stops[scalar] or self.lender.cursor >= self.lender.window_end:
                copy = value  # so that `value` needs no address, and can stay in a register
                return self.push_scalar(&copy, scalar)
            (<numeric *>self.lender.cursor)[0] = (<numeric *>(dest + self.oldest_offset))[0]
            self.lender.cursor += sizeof(numeric)
        (<numeric *>dest)[0] = value
        self.cursor = dest + sizeof(numeric)
        return 0
