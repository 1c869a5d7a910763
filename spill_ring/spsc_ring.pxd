"""A ring between two threads, for Cython: `from spill_ring.spsc_ring cimport SpscRing`.

The methods here want no GIL. The first group is the producer's, the second the consumer's: at most
one thread may be in each. (Python calls refuse a second one; compiled code has to see to it itself.)
Compile with the folder that `spill_ring.get_include()` names.
"""
cimport cython
from cpython.object cimport PyObject

from spill_ring.guard cimport SR_BUSY, SR_OPEN, sr_leave, sr_move
from spill_ring.park cimport Parking
from spill_ring.scalar cimport numeric, scalar_index
from spill_ring.sink cimport Sink
from spill_ring.storage cimport Storage


cdef extern from "spill_ring/spsc.h" nogil:
    ctypedef unsigned long long sr_index
    ctypedef int (*sr_sink)(void *context, const void *items, size_t count, size_t *taken) except -1 nogil
    ctypedef void (*sr_wake)(void *context) noexcept nogil
    ctypedef struct sr_waiter:
        void *context
    ctypedef struct sr_spsc:
        unsigned char *items
        size_t itemsize
        sr_index capacity, mask, limit, evict_block, held, held_count, pending, pending_count
        int evicts
        const int *is_mirrored
        sr_sink sink
        void *sink_context
        sr_wake wake
        sr_waiter consumer, producer
    enum:
        SR_FULL
    void sr_spsc_init(sr_spsc *ring, void *items, size_t itemsize, size_t capacity, size_t physical)
    void *sr_slot(const sr_spsc *ring, sr_index position)
    sr_index sr_in_a_row(const sr_spsc *ring, sr_index position, sr_index count)
    void sr_read(const sr_spsc *ring, sr_index position, unsigned char *out, sr_index count)
    size_t sr_spsc_count(const sr_spsc *ring)
    bint sr_spsc_is_closed(const sr_spsc *ring)
    # the producer's
    bint sr_spsc_has_room(const sr_spsc *ring, size_t count)
    int sr_spsc_push(sr_spsc *ring, const void *items, size_t count, size_t *taken) except -1
    size_t sr_spsc_room(sr_spsc *ring, size_t count)
    size_t sr_spsc_try_push(sr_spsc *ring, const void *items, size_t count)
    int sr_spsc_reserve(sr_spsc *ring, size_t count, void **room, size_t *in_a_row) except -1
    void sr_publish(sr_spsc *ring, sr_index tail)
    void sr_spsc_commit(sr_spsc *ring, size_t count)
    int sr_spsc_flush(sr_spsc *ring) except -1
    int sr_deliver(sr_spsc *ring) except -1
    void sr_spsc_close(sr_spsc *ring)
    void sr_spsc_await_room(sr_spsc *ring, size_t count)
    void *sr_next(sr_spsc *ring)
    # the consumer's
    sr_index sr_claim(sr_spsc *ring, size_t max, bint in_a_row)
    void sr_finish(sr_spsc *ring, sr_index count)
    size_t sr_spsc_claim(sr_spsc *ring, size_t max, const void **items)
    void sr_spsc_release(sr_spsc *ring, size_t count)
    size_t sr_spsc_pop(sr_spsc *ring, void *out, size_t max)
    int sr_spsc_drain(sr_spsc *ring, size_t max, sr_sink sink, void *context) except -1
    void sr_spsc_clear(sr_spsc *ring, size_t max)
    size_t sr_spsc_available(const sr_spsc *ring)
    bint sr_spsc_has_ended(const sr_spsc *ring)
    void sr_spsc_await_items(sr_spsc *ring, size_t count)
    void sr_await_no_more(sr_waiter *waiter)
    # the counts that others may read
    sr_index sr_pushed(const sr_spsc *ring)
    sr_index sr_evicted(const sr_spsc *ring)
    sr_index sr_finished(const sr_spsc *ring)
    sr_index sr_drained(const sr_spsc *ring)
    sr_index sr_cleared(const sr_spsc *ring)


# Objects on their way out of a ring: their references are let go of once the ring is left.
ctypedef struct objects_out:
    void *sink  # NULL: they are dropped
    PyObject **trash
    Py_ssize_t count, room

cdef int empty_trash(objects_out *out) except -1


cdef class SpscRing(Sink):
    cdef sr_spsc *core
    cdef void *core_memory
    cdef int *consumer  # the state of that side; `state` is the producer's
    cdef int scalar  # `scalar_index` of the items' C type; -1 if they are no plain C numbers
    cdef bint is_blocking
    cdef Py_ssize_t size  # the capacity
    cdef Storage storage  # of a typed ring
    cdef object record  # the Dataclass whose instances its items are; None: they are numpy's
    cdef PyObject **slots  # of an object ring; NULL where there is none
    cdef objects_out evicted
    cdef Parking producer_parking, consumer_parking
    cdef Sink target  # None: what is evicted is dropped
    cdef object given  # the sink, as it was given
    cdef int is_settled  # the sink was let go of
    cdef Py_ssize_t reserved
    cdef object aside  # a block that is reserved where the ring's own memory is not to be had
    cdef long long reservations, reads  # how many there were: the number of the one that is open

    # Push `count` items of the ring's dtype. Raises what the sink raises, or queue.Full.
    cdef int push_block(self, const void *items, Py_ssize_t count) except -1 nogil
    # As many as there is room for; never evicts, never waits.
    cdef Py_ssize_t try_push_block(self, const void *items, Py_ssize_t count) except -1 nogil
    # Room for `count` new items, contiguous, until `commit` takes in the first `count` of what was written.
    cdef void *reserve(self, Py_ssize_t count) except NULL nogil
    cdef int commit(self, Py_ssize_t count) except -1 nogil

    # Remove up to `count` of the oldest; returns how many.
    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil
    # Wait until `count` items are there: until a deadline by the monotonic clock in ns, or FOREVER. Says whether.
    cdef bint wait_items(self, Py_ssize_t count, long long deadline) except -1 nogil
    cdef bint wait_room(self, Py_ssize_t count, long long deadline) except -1 nogil

    cdef int take_over(self, int *state, int found) except -1 with gil
    cdef int refuse_consumer(self, int found) except -1 with gil
    cdef int refuse_full(self, Py_ssize_t count) except -1 with gil
    cdef int refuse_count(self, Py_ssize_t count, Py_ssize_t room) except -1 with gil
    cdef int refuse_commit(self) except -1 with gil
    cdef int refuse_scalar(self, int scalar) except -1 with gil
    cdef void *reserve_aside(self, Py_ssize_t count) except NULL with gil
    cdef int commit_aside(self, Py_ssize_t count) except -1 with gil
    cdef int put_copy(
        self, const void *items, Py_ssize_t count, long long deadline, Py_ssize_t *taken
    ) except -1 with gil
    cdef int push_any(self, object item, long long deadline) except -1
    cdef int put_objects(self, PyObject **items, Py_ssize_t count, long long deadline, Py_ssize_t *taken) except -1
    cdef Py_ssize_t try_objects(self, PyObject **items, Py_ssize_t count) except -1
    cdef int extend_objects(self, PyObject **items, Py_ssize_t count, long long deadline) except -1
    cdef objects_out take_trash(self) noexcept
    cdef int push_scalar(self, const void *value, int scalar) except -1 nogil
    cdef list take_objects(self, Py_ssize_t n)
    cdef Py_ssize_t move_to(self, Sink sink, Py_ssize_t max, objects_out *out) except -1
    cdef Py_ssize_t flush_all(self) except -1
    cdef Py_ssize_t send_rest(self, objects_out *out) except -1
    cdef int settle(self) except -1
    cdef object held_block(self, Py_ssize_t n, long long deadline)

    @cython.final
    cdef long long deadline(self, object timeout) except -1

    @cython.final
    cdef int put(self, const void *items, Py_ssize_t count, long long deadline, Py_ssize_t *taken) except -1 nogil

    @cython.final
    cdef int extend_typed(self, object items, long long deadline) except -1

    @cython.final
    cdef bint wait_for_one(self, long long deadline) except -1

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
        cdef int found = sr_move(self.consumer, SR_OPEN, SR_BUSY)
        return 0 if found == SR_OPEN else self.refuse_consumer(found)

    @cython.final
    cdef inline void leave_consumer(self) noexcept nogil:
        sr_leave(self.consumer, SR_OPEN)

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
        (<numeric *>sr_next(self.core))[0] = value
        sr_spsc_commit(self.core, 1)
        return True

    @cython.final
    cdef inline int pop_value(self, numeric *value) except -1 nogil:
        """Remove the oldest into `value`; 0 when there is none."""
        if self.scalar != scalar_index(value):
            return self.refuse_scalar(scalar_index(value))
        if sr_claim(self.core, 1, False) == 0:
            return 0
        value[0] = (<numeric *>self.core.items)[self.core.held & self.core.mask]
        sr_finish(self.core, 1)
        return 1
