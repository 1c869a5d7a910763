"""The producer's side of an SpscRing, and what its two sides share."""
cimport cython
from cpython.object cimport PyObject

from spill_ring.threads.consumer cimport Consumer, enter_side, leave_side
from spill_ring._core.guard cimport SR_BUSY, SR_FORKED, SR_RESERVED, sr_state_cas
from spill_ring.threads.eviction cimport SinkContext
from spill_ring.threads.parking cimport Parking
from spill_ring._core.sink cimport Sink
from spill_ring.threads.core cimport adopt_fork, sr_index, sr_spsc, sr_spsc_state
from spill_ring._core.storage cimport Storage


cdef inline int move_reserved(int *state) noexcept nogil:
    """Go from SR_RESERVED to SR_BUSY, also in a forked child. Returns the state that was found."""
    cdef int found = sr_state_cas(state, SR_RESERVED, SR_BUSY)
    if found != SR_FORKED:
        return found
    return SR_RESERVED if adopt_fork(state, found) else SR_BUSY


cdef class ProducerSide(Sink):
    cdef void *memory  # where `shared` lies
    cdef sr_spsc_state *shared  # by both sides. It has the state of the consumer's side; `state` is the producer's.
    cdef sr_spsc *core
    cdef unsigned long thread  # the producer's, while it is in a call that may fork; 0: it isn't
    cdef sr_index tail_at_fork  # the tail as the last fork began
    cdef Consumer consumer
    cdef int scalar  # `scalar_index` of the items' C type; -1 if they are no plain C numbers
    cdef bint is_blocking
    cdef Py_ssize_t size  # the capacity
    cdef Storage storage  # of a typed ring; else None
    cdef object record  # the Dataclass whose instances its items are; None: they are numpy's
    cdef PyObject **slots  # of a ring of objects; else NULL
    cdef SinkContext evicted
    cdef Parking producer_parking
    cdef Py_ssize_t reserved
    cdef object fallback_block  # the block of a reservation for which the ring's own memory was not free; else None
    cdef long long reservations  # how many there were: the number of the one that is open

    # The methods with pointers are for typed rings only, since they know nothing of references.
    # Push `count` items of the ring's dtype. Raises what the sink raises, or queue.Full.
    cdef int push_block(self, const void *items, Py_ssize_t count) except -1 nogil
    # As many as there is room for; never evicts, never waits.
    cdef Py_ssize_t try_push_block(self, const void *items, Py_ssize_t count) except -1 nogil
    # Room for `count` new items, contiguous, until `commit` takes in the first `count` of what was written.
    # The pointer is no good any more after `commit`.
    cdef void *reserve(self, Py_ssize_t count) except NULL nogil
    cdef int commit(self, Py_ssize_t count) except -1 nogil
    cdef bint wait_room(self, Py_ssize_t count, long long deadline) except -1 nogil

    cdef int raise_full(self, Py_ssize_t count) except -1 with gil
    cdef int raise_count(self, Py_ssize_t count, Py_ssize_t room) except -1 with gil
    cdef int raise_commit(self) except -1 with gil
    cdef int raise_scalar(self, int scalar) except -1 with gil
    cdef void *reserve_fallback(self, Py_ssize_t count) except NULL with gil
    cdef int commit_fallback(self, Py_ssize_t count) except -1 with gil
    cdef int push_copied(
        self, const void *items, Py_ssize_t count, long long deadline, Py_ssize_t *taken
    ) except -1 with gil
    cdef int push_any(self, object item, long long deadline) except -1
    cdef int push_objects_entered(
        self, PyObject **items, Py_ssize_t count, long long deadline, Py_ssize_t *taken
    ) except -1
    cdef int extend_objects(self, PyObject **items, Py_ssize_t count, long long deadline) except -1
    cdef int push_scalar(self, const void *value, int scalar) except -1 nogil
    cdef Py_ssize_t try_push_copy(self, const void *items, Py_ssize_t count) except -1 with gil

    @cython.final
    cdef long long deadline(self, object timeout) except -1

    @cython.final
    cdef int push_entered(
        self, const void *items, Py_ssize_t count, long long deadline, Py_ssize_t *taken
    ) except -1 nogil

    @cython.final
    cdef int extend_typed(self, object items, long long deadline) except -1

    @cython.final
    cdef inline bint overlaps(self, const void *items) noexcept nogil:
        """Are these items in the ring's own memory, which was lent before and which a push may write over?"""
        return self.slots == NULL and (
            self.core.items <= <unsigned char *>items < self.core.items + 2 * (self.core.mask + 1) * self.core.itemsize
        )

    @cython.final
    cdef inline int enter_consumer(self) except -1 nogil:
        return enter_side(self.shared)

    @cython.final
    cdef inline void leave_consumer(self) noexcept nogil:
        leave_side(self.shared)
