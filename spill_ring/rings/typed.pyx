"""A ring of items of one size, which knows nothing of numpy: its memory, and what it is as a sink."""
cimport cython

from spill_ring._core.sink cimport Sink, deliver
from spill_ring._core.status cimport SPILL_RING_BAD_COUNT, raise_abstract
from spill_ring.rings.base cimport Ring


@cython.no_gc_clear
cdef class TypedRing(Ring):
    """The part of `ArrayRing` that moves blocks of memory. Not made by hand: use an `ArrayRing`."""

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        if self.overlaps(items):
            return self.append_copy(items, count, taken)
        if self.evicts_nothing(count):
            self.write(items, count)
            taken[0] += count
            return 0
        return self.append(items, count, taken)

    cdef int append_copy(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        """Append a copy of items that lie in the ring's own memory."""
        return raise_abstract(self, "append_copy")

    cdef Py_ssize_t lend_slots(self) noexcept nogil:
        self.cursor = self.base + <Py_ssize_t>(self.tail & self.mask) * self.itemsize
        return <Py_ssize_t>min(self.limit - self.tail, self.mask + 1 - (self.tail & self.mask))

    cdef void count_window(self, Py_ssize_t count) noexcept nogil:
        self.tail += count
        if self.window_evicts:
            self.spilled += count
            self.advance(count)
            self.window_evicts = False
        self.stops[self.scalar] = self.evicting_stops[self.scalar] = NULL

    # -- what a kind of ring defines -------------------------------------------------------------

    cdef int write_new(self, const void *items, Py_ssize_t count) except -1 nogil:
        self.write(items, count)
        return 0

    cdef int forward_new(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        return deliver(self.target, items, count, taken)

    cdef int send_oldest(self, Sink sink, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        return deliver(sink, self.run(self.head, count), count, taken)

    cdef int drop_oldest(self, Py_ssize_t count) except -1 nogil:
        self.advance(count)
        return 0


# -- the second halves of push and reserve --------------------------------------------------------------

cdef int finish_push(TypedRing ring, const void *items, Py_ssize_t count) except -1 nogil:
    cdef Py_ssize_t taken = 0
    if count < 0:
        ring.leave()
        return SPILL_RING_BAD_COUNT
    try:
        ring.append(items, count, &taken)
    finally:
        ring.leave()
    return 0


cdef int finish_reserve(TypedRing ring, Py_ssize_t count, void **dest) except -1 nogil:
    cdef bint has_failed = True
    try:
        ring.spill(ring.target, ring.sync_head() + count - ring.size)
        has_failed = False
    finally:
        if has_failed:
            ring.leave()
    ring.open_reservation(count, dest)
    return 0
