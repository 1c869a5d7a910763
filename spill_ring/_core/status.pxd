"""What push, pop, reserve and commit of a typed ring return: the numbers that C clients see.

Each of the four exists once, as a function that returns a status: 0 or a count of items, or one of the numbers below 0.
Cython and Python get an exception in its place, which `raise_status` makes.
"""
from spill_ring._core.guard cimport SR_CLOSED
from spill_ring._core.sink cimport Sink


cdef extern from "spill_ring/interface.h" nogil:
    enum:
        SPILL_RING_FAILED  # -1: an exception is set, as after any function that is `except -1`
        SPILL_RING_CLOSED
        SPILL_RING_IN_USE
        SPILL_RING_BAD_COUNT
        SPILL_RING_FULL
        SPILL_RING_NOT_RESERVED

# Seen only between the two halves of a call: the ring is entered, and the second half, which may wait or call a sink,
# has to finish the call (finish_push after push_status, and so on).
cdef enum:
    UNFINISHED = 1


cdef inline int status_of(int state) noexcept nogil:
    """Why a ring in this state, which is not SR_OPEN, can't be entered."""
    return SPILL_RING_CLOSED if state == SR_CLOSED else SPILL_RING_IN_USE


# Raise the exception that a status below FAILED stands for. `count` items were asked for, and `n_free` would have done.
cdef int raise_status(Sink ring, int status, Py_ssize_t count, Py_ssize_t n_free) except -1 with gil
cdef int raise_negative(Py_ssize_t count) except -1 with gil

# A value of the C type with this `scalar_index` is none of the ring's items.
cdef int raise_scalar(Sink ring, int scalar) except -1 with gil

# For a method that each subclass has to override, and this one does not.
cdef int raise_abstract(object self, str method) except -1 with gil
