"""Push, pop, reserve and commit of a `TypedRing`, which exist here once: see `_core/status.pxd` for what they return.

What may call a sink is a second half, which lies in typed.pyx: a C client makes its thread known to Python before that.
The state that each function expects, and that it leaves behind:

                        expects         after 0 or a count  after UNFINISHED    after an error
    push_status         SR_OPEN         SR_OPEN             SR_BUSY             as it was
    pop_status          SR_OPEN         SR_OPEN             -                   as it was
    reserve_status      SR_OPEN         SR_RESERVED         SR_BUSY             as it was
    commit_status       SR_RESERVED     SR_OPEN             -                   as it was
    commit_numbered     any             SR_OPEN if it committed, else as it was
    commit_entered      SR_BUSY         SR_OPEN             -                   SR_RESERVED
    leave_with_window   SR_BUSY         SR_OPEN or SR_WINDOW, which is open too

Where SR_OPEN is expected, SR_WINDOW will do. A push of one value may leave SR_WINDOW.
"""
from libc.string cimport memmove

from spill_ring._core.guard cimport SR_BUSY, SR_OPEN, SR_RESERVED, SR_WINDOW, sr_state_cas, sr_state_store
from spill_ring._core.status cimport SPILL_RING_BAD_COUNT, SPILL_RING_NOT_RESERVED, UNFINISHED, status_of
from spill_ring.rings.typed cimport TypedRing


cdef inline int enter_status(TypedRing ring) noexcept nogil:
    """`ring.enter`, but with a status."""
    cdef int found = sr_state_cas(&ring.state, SR_OPEN, SR_BUSY)
    if found == SR_WINDOW:
        found = ring.try_enter()
    return 0 if found == SR_OPEN else status_of(found)


cdef inline void leave_with_window(TypedRing ring) noexcept nogil:
    """Leave the ring, and open the window for `push_value` if there are slots for it."""
    cdef Py_ssize_t n_free = ring.lend_slots()
    cdef long long oldest = ring.head & ring.mask
    ring.window_start = ring.cursor
    if n_free:
        ring.window_end = ring.stops[ring.scalar] = ring.cursor + n_free * ring.itemsize
    elif ring.lender is not None and ring.lender.open_window():
        # The ring is full: each new item moves the oldest one out. The distance between the two stays the same until
        # one of them comes to the end of the memory.
        n_free = <Py_ssize_t>(ring.mask + 1 - max(oldest, ring.tail & ring.mask))
        ring.evicting_stops[ring.scalar] = ring.cursor + n_free * ring.itemsize
        ring.oldest_offset = ring.base + <Py_ssize_t>oldest * ring.itemsize - ring.cursor
        ring.window_evicts = True
    else:
        ring.leave()
        return
    sr_state_store(&ring.state, SR_WINDOW)


cdef inline int push_status(TypedRing ring, const void *items, Py_ssize_t count, bint opens_window) noexcept nogil:
    """Push what needs no sink. UNFINISHED: `finish_push` has to follow."""
    cdef int status = enter_status(ring)
    if status:
        return status
    if not ring.evicts_nothing(count):
        return UNFINISHED
    ring.write(items, count)
    if opens_window and count == 1 and ring.scalar >= 0:
        leave_with_window(ring)
    else:
        ring.leave()
    return 0


cdef inline Py_ssize_t pop_status(TypedRing ring, void *out, Py_ssize_t count) noexcept nogil:
    """Pop up to `count` of the oldest; returns how many, or an error."""
    cdef int status
    if count < 0:
        return SPILL_RING_BAD_COUNT
    status = enter_status(ring)
    if status:
        return status
    count = min(count, ring.sync_head())
    # memmove: `out` may be a block that reserve() gave out once
    memmove(out, ring.run(ring.head, count), count * ring.itemsize)
    ring.pop_oldest(count)
    ring.leave()
    return count


cdef inline int reserve_status(TypedRing ring, Py_ssize_t count, void **dest) noexcept nogil:
    """Reserve what needs no sink. UNFINISHED: `finish_reserve` has to follow."""
    cdef int status
    if not 0 <= count <= ring.size:
        return SPILL_RING_BAD_COUNT
    status = enter_status(ring)
    if status:
        return status
    if ring.target is None:
        ring.advance(max(0, ring.sync_head() + count - ring.size))
    elif not ring.evicts_nothing(count):
        return UNFINISHED
    ring.open_reservation(count, dest)
    return 0


cdef inline int commit_entered(TypedRing ring, Py_ssize_t count) noexcept nogil:
    if not 0 <= count <= ring.reserved:
        sr_state_store(&ring.state, SR_RESERVED)
        return SPILL_RING_BAD_COUNT
    ring.storage.complete_write(<Py_ssize_t>(ring.tail & ring.mask) * ring.itemsize, count * ring.itemsize)
    ring.tail += count
    ring.reserved = 0
    ring.leave()
    return 0


cdef inline int commit_status(TypedRing ring, Py_ssize_t count) noexcept nogil:
    cdef int found = sr_state_cas(&ring.state, SR_RESERVED, SR_BUSY)
    if found == SR_RESERVED:
        return commit_entered(ring, count)
    return SPILL_RING_NOT_RESERVED if found == SR_OPEN or found == SR_WINDOW else status_of(found)


cdef inline int commit_numbered(TypedRing ring, Py_ssize_t count, long long number) noexcept nogil:
    """Commit the reservation of this number, unless that has been done: another one may be open by now."""
    if sr_state_cas(&ring.state, SR_RESERVED, SR_BUSY) != SR_RESERVED:
        return 0
    if number != ring.reservations:
        sr_state_store(&ring.state, SR_RESERVED)
        return 0
    return commit_entered(ring, count)
