"""One reduced item for every n, for the target."""
from spill_ring.sinks.grouping cimport GroupingSink


cdef class ReduceSink(GroupingSink):
    cdef object reduce

    cdef int forward_reduced(self, object reduced, Py_ssize_t n, Py_ssize_t *taken) except -1
