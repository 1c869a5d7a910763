"""A producer's wait for room in a ring, which ends too when the consumer is gone."""
from spill_ring.threads.core cimport sr_spsc, sr_spsc_room, sr_spsc_state
from spill_ring.threads.parking cimport Parking


cdef inline bint room_is_there(sr_spsc *core, Py_ssize_t count) noexcept nogil:
    return <Py_ssize_t>sr_spsc_room(core, count) >= count


# Wait until there is room for `count` items or the consumer is gone (True), or the deadline has passed.
cdef bint await_room_or_end(
    sr_spsc_state *ring, Parking parking, Py_ssize_t count, long long deadline
) except -1 nogil
