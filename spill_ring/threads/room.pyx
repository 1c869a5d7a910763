"""A producer's wait for room in a ring, which ends too when the consumer is gone."""
from spill_ring.threads.core cimport sr_cancel_wake, sr_spsc_await_room, sr_spsc_count
from spill_ring.threads.parking cimport awaited, wait_for
from spill_ring.threads.taker cimport is_consumer_gone


cdef bint await_room_or_end(
    sr_spsc_state *ring, Parking parking, Py_ssize_t count, long long deadline
) except -1 nogil:
    cdef awaited room
    room.context, room.count = ring, count
    room.is_there, room.arm, room.disarm = room_or_end_is_there, await_room, await_room_no_more
    room.other, room.is_over, room.is_certain = &ring.taker.thread, room_was_made, False
    return wait_for(parking, &room, deadline)


cdef bint room_or_end_is_there(const awaited *what) noexcept nogil:
    cdef sr_spsc_state *ring = <sr_spsc_state *>what.context
    return room_is_there(&ring.core, what.count) or is_consumer_gone(ring)


cdef bint room_was_made(const void *context) noexcept nogil:
    """Any thread may ask, so this doesn't know how much room is wanted."""
    cdef const sr_spsc_state *ring = <const sr_spsc_state *>context
    return sr_spsc_count(&ring.core) < ring.core.capacity or is_consumer_gone(ring)


cdef void await_room(const awaited *what) noexcept nogil:
    sr_spsc_await_room(&(<sr_spsc_state *>what.context).core, what.count)


cdef void await_room_no_more(const awaited *what) noexcept nogil:
    sr_cancel_wake(&(<sr_spsc_state *>what.context).core.producer)
