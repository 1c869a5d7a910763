"""Everything to several sinks."""
from spill_ring._core.sink cimport Sink


cdef class TeeSink(Sink):
    cdef tuple sinks
    cdef list sinks_behind
    cdef list owed  # for each target, what the tee has taken and the target has not
    cdef list has_dropped

    cdef int send_to_all(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil
    cdef object copied(self, const void *items, Py_ssize_t start, Py_ssize_t stop)
    cdef int pay(self, Py_ssize_t i) except -1
    cdef int pay_all(self) except -1
    cdef int each(self, str call) except -1
