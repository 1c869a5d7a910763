"""A ring for each of several producers, and one consumer of them all.

Compile with the folder that `spill_ring.get_include()` names. A producer is an `SpscRing`.
"""
from spill_ring.threads.consumer cimport Consumer
from spill_ring.threads.spsc cimport SpscRing


cdef class MpscRing:
    cdef int state  # SR_OPEN once it is initialised: the sides have states of their own
    cdef tuple rings
    cdef Py_ssize_t count
    cdef Consumer consumer  # of all of them
    cdef object item_type  # None: objects
    cdef object sink_as_given  # the sink, as it was given

    # Remove up to `count` items, in fair shares; returns how many.
    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil
    # Wait until there are `count` in all of them; says whether.
    cdef bint wait_items(self, Py_ssize_t count, long long deadline) except -1 nogil

    cdef SpscRing ring(self, Py_ssize_t i)
    cdef int check_made(self) except -1
    cdef int enter(self) except -1
    cdef void leave(self, Py_ssize_t entered) noexcept
    cdef int settle(self) except -1
    cdef Py_ssize_t check_wait(self, object n) except -1
    cdef object take(self, Py_ssize_t count, long long deadline)
