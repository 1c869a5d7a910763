"""A ring for each of several producers, and one consumer of them all.

Compile with the folder that `spill_ring.get_include()` names. A producer is an `SpscRing`.
"""
from spill_ring._core.guard cimport Guarded
from spill_ring.threads.consumer cimport Consumer


cdef class MpscRing(Guarded):
    # Its `state` is SR_OPEN once it is initialised. The sides have states of their own.
    cdef tuple rings
    cdef Consumer consumer  # of all of them
    cdef object item_type  # None: objects
    cdef object sink_as_given  # the sink, as it was given

    # Remove up to `count` items, in fair shares; returns how many.
    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil
    # Wait until there are `count` in all of them; says whether.
    cdef bint wait_items(self, Py_ssize_t count, long long deadline) except -1 nogil
