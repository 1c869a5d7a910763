"""A ring between two threads, for Cython: `from spill_ring.threads.spsc cimport SpscRing`.

The methods here want no GIL. The first group is the producer's, the second the consumer's: at most
one thread may be in each. (Python calls refuse a second one; compiled code has to see to it itself.)
Compile with the folder that `spill_ring.get_include()` names.
"""
cimport cython
from cpython.object cimport PyObject

from spill_ring.threads.consumer cimport Consumer
from spill_ring._core.guard cimport SR_BUSY, SR_FORKED, SR_OPEN, SR_RESERVED, sr_state_store, sr_state_cas
from spill_ring.threads.eviction cimport SinkContext
from spill_ring.threads.parking cimport Parking
from spill_ring._core.scalar cimport numeric, scalar_index
from spill_ring._core.sink cimport Sink
from spill_ring.threads.core cimport (
    sr_claim, sr_finish, sr_index, sr_next_slot, sr_publish, sr_pushed, sr_relax, sr_spsc, sr_spsc_commit,
    sr_spsc_has_ended, sr_spsc_room, sr_spsc_state,
)
from spill_ring._core.storage cimport Storage


cdef inline int move_reserved(int *state) noexcept nogil:
    """From SR_RESERVED to SR_BUSY, also in a forked child; the state found."""
    cdef int found = sr_state_cas(state, SR_RESERVED, SR_BUSY)
    if found != SR_FORKED:
        return found
    return SR_RESERVED if sr_state_cas(state, SR_FORKED, SR_BUSY) == SR_FORKED else SR_BUSY


cdef class SpscRing(Sink):
    cdef void *memory  # that holds what both sides share
    cdef sr_spsc_state *shared  # with the state of the consumer's side; `state` is the producer's
    cdef sr_spsc *core
    cdef unsigned long thread  # the producer's side's
    cdef sr_index tail_at_fork  # when the last one began
    cdef Consumer consumer
    cdef int scalar  # `scalar_index` of the items' C type; -1 if they are no plain C numbers
    cdef bint is_blocking
    cdef Py_ssize_t size  # the capacity
    cdef Storage storage  # of a typed ring
    cdef object record  # the Dataclass whose instances its items are; None: they are numpy's
    cdef PyObject **slots  # of an object ring; NULL where there is none
    cdef SinkContext evicted
    cdef Parking producer_parking
    cdef object sink_as_given  # the sink, as it was given
    cdef int is_settled  # the sink was let go of
    cdef Py_ssize_t reserved
    cdef object aside  # a block that is reserved where the ring's own memory is not to be had
    cdef long long reservations, reads  # how many there were: the number of the one that is open

    # All with pointers are for typed rings only: of objects nobody would hold a reference.
    # Push `count` items of the ring's dtype. Raises what the sink raises, or queue.Full.
    cdef int push_block(self, const void *items, Py_ssize_t count) except -1 nogil
    # As many as there is room for; never evicts, never waits.
    cdef Py_ssize_t try_push_block(self, const void *items, Py_ssize_t count) except -1 nogil
    # Room for `count` new items, contiguous, until `commit` takes in the first `count` of what was written.
    # The pointer is no good any more after `commit`.
    cdef void *reserve(self, Py_ssize_t count) except NULL nogil
    cdef int commit(self, Py_ssize_t count) except -1 nogil

    # Remove up to `count` of the oldest; returns how many.
    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil
    # Wait until `count` items are there: until a deadline by the monotonic clock in ns, or FOREVER. Says whether.
    cdef bint wait_items(self, Py_ssize_t count, long long deadline) except -1 nogil
    cdef bint wait_room(self, Py_ssize_t count, long long deadline) except -1 nogil

    cdef int take_over(self, int *state, int found) except -1 with gil
    cdef int raise_consumer(self, int found) except -1 with gil
    cdef int raise_full(self, Py_ssize_t count) except -1 with gil
    cdef int raise_count(self, Py_ssize_t count, Py_ssize_t room) except -1 with gil
    cdef int raise_commit(self) except -1 with gil
    cdef int raise_scalar(self, int scalar) except -1 with gil
    cdef void *reserve_aside(self, Py_ssize_t count) except NULL with gil
    cdef int commit_aside(self, Py_ssize_t count) except -1 with gil
    cdef int put_copy(
        self, const void *items, Py_ssize_t count, long long deadline, Py_ssize_t *taken
    ) except -1 with gil
    cdef int push_any(self, object item, long long deadline) except -1
    cdef int put_objects(self, PyObject **items, Py_ssize_t count, long long deadline, Py_ssize_t *taken) except -1
    cdef int extend_objects(self, PyObject **items, Py_ssize_t count, long long deadline) except -1
    cdef int push_scalar(self, const void *value, int scalar) except -1 nogil
    cdef Py_ssize_t flush_all(self) except -1
    cdef Py_ssize_t send_rest(self, SinkContext *out) except -1
    cdef int settle(self) except -1
    cdef Py_ssize_t try_push_copy(self, const void *items, Py_ssize_t count) except -1 with gil
    cdef Py_ssize_t convert_into(self, object array, long long deadline) except -1
    cdef object held_block(self, Py_ssize_t n, long long deadline)

    @cython.final
    cdef long long deadline(self, object timeout) except -1

    @cython.final
    cdef int put(self, const void *items, Py_ssize_t count, long long deadline, Py_ssize_t *taken) except -1 nogil

    @cython.final
    cdef int extend_typed(self, object items, long long deadline) except -1

    @cython.final
    cdef bint find(self, Py_ssize_t n, long long deadline) except -1

    @cython.final
    cdef Py_ssize_t check_wait(self, object n) except -1

    @cython.final
    cdef object take_one(self)

    @cython.final
    cdef inline bint overlaps(self, const void *items) noexcept nogil:
        """Is this the ring's own memory, lent before, which a push may write over?"""
        return self.slots == NULL and (
            self.core.items <= <unsigned char *>items < self.core.items + 2 * (self.core.mask + 1) * self.core.itemsize
        )

    @cython.final
    cdef inline int enter_consumer(self) except -1 nogil:
        cdef int found = sr_state_cas(&self.shared.consumer.state, SR_OPEN, SR_BUSY)
        return 0 if found == SR_OPEN else self.raise_consumer(found)

    @cython.final
    cdef inline void leave_consumer(self) noexcept nogil:
        sr_state_store(&self.shared.consumer.state, SR_OPEN)

    @cython.final
    cdef inline void relax(self) noexcept nogil:
        """For a loop that tries again: after nothing was popped, or no room found. A moment (1 µs) in which the other
        side has its memory for itself: single items come two to three times as fast where both loops do this."""
        sr_relax()

    @cython.final
    cdef inline bint has_ended(self) noexcept nogil:
        """Closed and empty: nothing will come any more."""
        return sr_spsc_has_ended(self.core)

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
            return self.raise_scalar(scalar_index(value))
        if sr_claim(self.core, 1, False) == 0:
            return 0
        value[0] = (<numeric *>self.core.items)[self.core.claimed & self.core.mask]
        sr_finish(self.core, 1)
        return 1
