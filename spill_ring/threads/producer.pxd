"""The producer's side of an SpscRing, and what its two sides share.

The ways to push:

    Python  push -> push_one (there is room, and no sink is called), else push_any -> push_entered
            extend -> extend_typed or extend_objects -> push_entered
    C       push_block -> push_status (no sink, no wait), else finish_push

push_entered and finish_push end in push_unless_full, which chooses: push_copied (the items lie in the ring's memory),
push_waiting (the ring blocks), or sr_spsc_push.
"""
cimport cython
from cpython.object cimport PyObject

from spill_ring.threads.consumer cimport Consumer, enter_side, leave_side
from spill_ring._core.guard cimport SR_BUSY, SR_FORKED, SR_OPEN, SR_RESERVED, sr_state_cas, sr_state_store
from spill_ring.threads.eviction cimport SinkContext
from spill_ring.threads.parking cimport FOREVER, Parking
from spill_ring._core.sink cimport Sink
from spill_ring.threads.core cimport (
    SR_FULL, adopt_fork, sr_index, sr_next_slot, sr_spsc, sr_spsc_commit, sr_spsc_has_room, sr_spsc_push, sr_spsc_state,
)
from spill_ring._core.status cimport (
    SPILL_RING_BAD_COUNT, SPILL_RING_FULL, SPILL_RING_NOT_RESERVED, UNFINISHED, status_of,
)
from spill_ring._core.storage cimport Storage


cdef extern from "spill_ring/spsc.h" nogil:
    # for calls that don't reach a sink, so that nothing can raise
    int push_without_sink "sr_spsc_push"(sr_spsc *ring, const void *items, size_t count, size_t *taken) noexcept
    int reserve_without_sink "sr_spsc_reserve"(
        sr_spsc *ring, size_t count, void **dest, size_t *n_contiguous
    ) noexcept


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
    cdef bint was_told  # that its consumer is gone
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

    cdef int enter_to_end(self) except -1
    cdef Py_ssize_t send_resident(self) except -1
    cdef void leave_gone(self) noexcept nogil
    cdef int raise_gone(self) except -1 with gil
    cdef int raise_unpushed(self, int status, Py_ssize_t count) except -1 nogil
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


# Push, reserve and commit of a typed ring, which exist here once: see `_core/status.pxd` for what they return. Each
# enters the producer's side, which stays entered after UNFINISHED, and is SR_RESERVED after a reserve that worked.

cdef inline int enter_status(ProducerSide ring) noexcept nogil:
    """`ring.enter`, but with a status."""
    cdef int found = sr_state_cas(&ring.state, SR_OPEN, SR_BUSY)
    return 0 if found == SR_OPEN or adopt_fork(&ring.state, found) else status_of(found)


cdef inline bint may_send(ProducerSide ring, Py_ssize_t count) noexcept nogil:
    """May a push of `count` items call the sink?"""
    return ring.core.sink != NULL and ring.core.evicts and not sr_spsc_has_room(ring.core, count)


cdef inline int push_status(ProducerSide ring, const void *items, Py_ssize_t count, bint may_overlap) noexcept nogil:
    """Push what needs no sink and no wait. UNFINISHED: `finish_push` has to follow."""
    cdef size_t taken = 0
    cdef int status
    if count < 0:
        return SPILL_RING_BAD_COUNT
    status = enter_status(ring)
    if status:
        return status
    if may_send(ring, count) or may_overlap and ring.overlaps(items):
        return UNFINISHED
    if push_without_sink(ring.core, items, count, &taken) == SR_FULL:
        if ring.is_blocking:
            return UNFINISHED
        status = SPILL_RING_FULL
    ring.leave()
    return status


cdef inline int reserve_status(ProducerSide ring, Py_ssize_t count, void **dest) noexcept nogil:
    """Reserve what needs no sink and no wait. UNFINISHED: `finish_reserve` has to follow."""
    cdef size_t n_contiguous  # what lies beyond the memory's end `commit` copies to its start
    cdef int status
    if not 0 <= count <= ring.size:
        return SPILL_RING_BAD_COUNT
    status = enter_status(ring)
    if status:
        return status
    if may_send(ring, count):
        return UNFINISHED
    if reserve_without_sink(ring.core, count, dest, &n_contiguous) == SR_FULL:
        if ring.is_blocking or ring.core.evicts:
            return UNFINISHED
        ring.leave()
        return SPILL_RING_FULL
    open_reservation(ring, count)
    return 0


cdef inline void open_reservation(ProducerSide ring, Py_ssize_t count) noexcept nogil:
    """Leave the ring to its reserver."""
    ring.reserved = count
    ring.reservations += 1
    sr_state_store(&ring.state, SR_RESERVED)


cdef inline int commit_status(ProducerSide ring, Py_ssize_t count) noexcept nogil:
    """Commit. UNFINISHED: the block lies outside of the ring's memory, and `finish_commit` has to push it."""
    cdef int found = move_reserved(&ring.state)
    if found == SR_RESERVED:
        return commit_entered(ring, count)
    return SPILL_RING_NOT_RESERVED if found == SR_OPEN else status_of(found)


cdef inline int commit_numbered(ProducerSide ring, Py_ssize_t count, long long number) noexcept nogil:
    """Commit the reservation of this number, unless that has been done: another one may be open by now."""
    if move_reserved(&ring.state) != SR_RESERVED:
        return 0
    if number != ring.reservations:
        sr_state_store(&ring.state, SR_RESERVED)
        return 0
    return commit_entered(ring, count)


cdef inline int commit_entered(ProducerSide ring, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t offset
    if not 0 <= count <= ring.reserved:
        sr_state_store(&ring.state, SR_RESERVED)
        return SPILL_RING_BAD_COUNT
    ring.reserved = 0
    if <PyObject *>ring.fallback_block != <PyObject *>None:
        return UNFINISHED
    # In memory from the heap, what was written beyond its end is copied to its start.
    offset = <unsigned char *>sr_next_slot(ring.core) - ring.core.items
    ring.storage.complete_write(offset, count * ring.itemsize)
    sr_spsc_commit(ring.core, count)
    ring.leave()
    return 0


cdef inline int push_unless_full(
    ProducerSide ring, const void *items, Py_ssize_t count, long long deadline, Py_ssize_t *taken, bint may_overlap
) except -1 nogil:
    """Push a run, by the ring's `overflow` if there is no room. The caller has entered the producer's side.

    Returns 0 or SPILL_RING_FULL. The caller has the GIL if the items are objects, whose sink needs it in any case. A
    ring that blocks calls no sink, and waits without the GIL.
    """
    if may_overlap and ring.overlaps(items):
        return ring.push_copied(items, count, deadline, taken)
    if ring.is_blocking:
        return push_waiting(ring, items, count, deadline, taken)
    return SPILL_RING_FULL if sr_spsc_push(ring.core, items, count, <size_t *>taken) == SR_FULL else 0


cdef inline int finish_push(
    ProducerSide ring, const void *items, Py_ssize_t count, bint may_overlap
) except -1 nogil:
    cdef Py_ssize_t taken = 0
    try:
        return push_unless_full(ring, items, count, FOREVER, &taken, may_overlap)
    finally:
        ring.leave()


cdef int push_waiting(
    ProducerSide ring, const void *items, Py_ssize_t count, long long deadline, Py_ssize_t *taken
) except -1 nogil
# `may_wait`: wait for room, and take a block outside of the ring's memory if a consumer is in the way. Without it the
# status is SPILL_RING_FULL then.
cdef int finish_reserve(ProducerSide ring, Py_ssize_t count, void **dest, bint may_wait) except -1 nogil
cdef int finish_commit(ProducerSide ring, Py_ssize_t count) except -1 nogil
