"""A ring between two threads, for Cython: `from spill_ring.spsc_ring cimport SpscRing`.

The methods here and of `ProducerSide` (producer.pxd) want no GIL. At most one thread may be in the producer's, and one
in the consumer's. They refuse a second one, but for `wait_items`, `wait_room` and the methods for single values
(`push_value`, …), which look at nothing: there it is the caller's part.
Compile with the folder that `spill_ring.get_include()` names.
"""
cimport cython

from spill_ring._core.scalar cimport numeric, scalar_index
from spill_ring._core.guard cimport SR_BUSY, SR_OPEN, sr_state_cas
from spill_ring._core.status cimport SPILL_RING_BAD_COUNT, SPILL_RING_CLOSED, raise_scalar, status_of
from spill_ring.threads.core cimport (
    adopt_fork, sr_claim, sr_finish, sr_index, sr_next_slot, sr_publish, sr_pushed, sr_relax, sr_spsc_commit,
    sr_spsc_has_ended, sr_spsc_pop, sr_spsc_room,
)
from spill_ring.threads.eviction cimport SinkContext
from spill_ring.threads.producer cimport ProducerSide
from spill_ring.threads.taker cimport note_taker


cdef class SpscRing(ProducerSide):
    # The trashcan works only in a class that has a Python attribute of its own.
    cdef object sink_as_given  # the sink, as it was given
    cdef long long reads  # how many were begun: the number of the one that is open

    # The consumer's. Remove up to `count` of the oldest; returns how many.
    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil
    # Wait until `count` items are there: until a deadline by the monotonic clock in ns, or FOREVER. Says whether.
    cdef bint wait_items(self, Py_ssize_t count, long long deadline) except -1 nogil

    cdef int init_core(self, bint evicts, Py_ssize_t evicted_at_once) except -1
    cdef object claim_block(self, Py_ssize_t n, long long deadline)
    cdef Py_ssize_t flush_all(self) except -1
    cdef bint seize_consumer(self) noexcept
    cdef Py_ssize_t send_rest(self, SinkContext *out) except -1

    @cython.final
    cdef inline void relax(self) noexcept nogil:
        """Wait a moment (1 µs) in a loop that tries again, after it popped nothing or found no room. The other side
        has the memory for itself meanwhile: single items come two to three times as fast if both loops do this."""
        sr_relax()

    @cython.final
    cdef inline bint has_ended(self) noexcept nogil:
        """Is the ring closed and empty, so that nothing will come any more?"""
        return sr_spsc_has_ended(self.core)

    # Methods for single values. They aren't in `ProducerSide`, since Cython inherits no fused method from another file.
    @cython.final
    cdef inline int push_value(self, numeric value) except -1 nogil:
        """Push one number of the C type that the dtype names, for loops that are compiled."""
        cdef numeric copy
        cdef sr_index tail = sr_pushed(self.core)
        if tail != self.core.limit and self.scalar == scalar_index(<numeric *>NULL):
            (<numeric *>self.core.items)[tail & self.core.mask] = value
            sr_publish(self.core, tail + 1)
            return 0
        copy = value  # so that `value` needs no address, and can stay in a register
        return self.push_scalar(&copy, scalar_index(&copy))

    @cython.final
    cdef inline bint try_push_value(self, numeric value) noexcept nogil:
        """Push one number if there is room, which needs no eviction; says whether it was. Not one of a wrong type."""
        if self.scalar != scalar_index(<numeric *>NULL) or sr_spsc_room(self.core, 1) == 0:
            return False
        (<numeric *>sr_next_slot(self.core))[0] = value
        sr_spsc_commit(self.core, 1)
        return True

    @cython.final
    cdef inline int pop_value(self, numeric *value) except -1 nogil:
        """Remove the oldest into `value`; 0 when there is none."""
        if self.scalar != scalar_index(value):
            return raise_scalar(self, scalar_index(value))
        if sr_claim(self.core, 1, False) == 0:
            note_taker(self.shared)  # here, since a pop that finds an item is too short for it
            return 0
        value[0] = (<numeric *>self.core.items)[self.core.claimed & self.core.mask]
        sr_finish(self.core, 1)
        return 1


cdef inline Py_ssize_t pop_status(SpscRing ring, void *out, Py_ssize_t count) noexcept nogil:
    """Pop up to `count` of the oldest; returns how many, or an error. SPILL_RING_CLOSED: nothing will come any more."""
    cdef int found
    cdef bint has_ended
    if count < 0:
        return SPILL_RING_BAD_COUNT
    found = sr_state_cas(&ring.shared.consumer.state, SR_OPEN, SR_BUSY)
    if found != SR_OPEN and not adopt_fork(&ring.shared.consumer.state, found):
        return status_of(found)
    note_taker(ring.shared)
    has_ended = ring.has_ended()
    count = <Py_ssize_t>sr_spsc_pop(ring.core, out, count)
    ring.leave_consumer()
    return SPILL_RING_CLOSED if has_ended else count
