"""A ring of items of one size, which knows nothing of numpy: its memory, and the calls that fill and empty it."""
cimport cython

from spill_ring._core.guard cimport SR_BUSY, SR_OPEN, sr_state_cas
from spill_ring._core.sink cimport Sink, deliver
from spill_ring._core.status cimport SPILL_RING_BAD_COUNT, UNFINISHED, raise_scalar, raise_status
from spill_ring.rings.base cimport Ring
from spill_ring.rings.engine cimport (
    begin_reservation, commit_status, leave_with_window, pop_status, push_fitting, reserve_fitting,
)


@cython.no_gc_clear
cdef class TypedRing(Ring):
    """The part of `ArrayRing` that moves blocks of memory. Not made by hand: use an `ArrayRing`."""

    cdef int push_block(self, const void *items, Py_ssize_t count) except -1 nogil:
        cdef int status = push_fitting(self, items, count, False)
        if status == UNFINISHED:
            status = push_entered(self, items, count)
        return raise_status(self, status, count, self.size) if status else 0

    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil:
        cdef Py_ssize_t popped = pop_status(self, out, count)
        return raise_status(self, <int>popped, count, self.size) if popped < 0 else popped

    cdef void *reserve(self, Py_ssize_t count) except NULL nogil:
        cdef void *dest = NULL
        cdef int status = reserve_fitting(self, count, &dest)
        if status == UNFINISHED:
            status = reserve_entered(self, count, &dest)
        if status:
            raise_status(self, status, count, self.size)
        return dest

    cdef int commit(self, Py_ssize_t count) except -1 nogil:
        cdef int status = commit_status(self, count)
        return raise_status(self, status, count, self.reserved) if status else 0

    cdef int push_scalar(self, const void *value, int scalar) except -1 nogil:
        if scalar != self.scalar:
            return raise_scalar(self, scalar)
        self.push_block(value, 1)
        if sr_state_cas(&self.state, SR_OPEN, SR_BUSY) == SR_OPEN:
            leave_with_window(self)
        return 0

    # -- as a sink -------------------------------------------------------------------------------

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
        return self.raise_abstract()

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


# -- the second halves of push and reserve ---------------------------------------------------------------

cdef int push_entered(TypedRing ring, const void *items, Py_ssize_t count) except -1 nogil:
    cdef Py_ssize_t taken = 0
    if count < 0:
        ring.leave()
        return SPILL_RING_BAD_COUNT
    try:
        ring.append(items, count, &taken)
    finally:
        ring.leave()
    return 0


cdef int reserve_entered(TypedRing ring, Py_ssize_t count, void **dest) except -1 nogil:
    cdef bint has_failed = True
    try:
        ring.spill(ring.target, ring.sync_head() + count - ring.size)
        has_failed = False
    finally:
        if has_failed:
            ring.leave()
    begin_reservation(ring, count, dest)
    return 0
