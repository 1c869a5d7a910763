"""The exceptions that stand for a status, and the one for a method that a subclass leaves out."""
from spill_ring._core.guard cimport SR_BUSY, SR_GONE, SR_OPEN, SR_WINDOW, sr_state_load

from queue import Full


cdef int raise_status(Sink ring, int status, Py_ssize_t count, Py_ssize_t n_free) except -1 with gil:
    cdef int state
    name = type(ring).__name__
    if status == SPILL_RING_BAD_COUNT:
        if count < 0:
            raise_negative(count)
        raise ValueError(f"got a count of {count} items, but there is room for {n_free}")
    if status == SPILL_RING_FULL:
        raise Full(f"{name} has no room for {count} items: it holds {len(ring)} of {ring.capacity}")
    if status == SPILL_RING_NOT_RESERVED:
        raise RuntimeError(f"{name} has no open reserve() to commit")
    state = SR_CLOSED if status == SPILL_RING_CLOSED else sr_state_load(&ring.state)
    if state == SR_GONE:
        return ring.enter_slow(state)
    if state == SR_OPEN or state == SR_WINDOW:  # whoever was inside has left it since
        state = SR_BUSY
    return ring.raise_for_state(state)


cdef int raise_negative(Py_ssize_t count) except -1 with gil:
    raise ValueError(f"a count of items can't be negative: {count}")


cdef int raise_scalar(Sink ring, int scalar) except -1 with gil:
    kind = ("unsigned int", "int", "float")[scalar // 4]
    raise TypeError(
        f"the items of this {type(ring).__name__} are of dtype {ring.item_type}, "
        f"so it takes no C {kind} of {1 << scalar % 4} bytes"
    )


cdef int raise_abstract(object self, str method) except -1 with gil:
    raise NotImplementedError(f"{type(self).__name__} defines no {method}(), which its base class leaves to it")
