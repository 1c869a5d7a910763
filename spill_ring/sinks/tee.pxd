"""Everything to several sinks."""
from spill_ring._core.sink cimport Sink


cdef class TeeSink(Sink):
    cdef tuple sinks
    cdef list sinks_behind
    cdef list backlogs  # for each sink, what the tee has taken and the sink has not
    cdef list has_dropped  # for each sink, whether `close` has given it up

    cdef int send_to_all(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil
    cdef object copied(self, const void *items, Py_ssize_t start, Py_ssize_t stop)
    cdef int deliver_backlog(self, Py_ssize_t i) except -1
    cdef int deliver_backlogs(self) except -1
    cdef int for_each_sink(self, int (*step)(TeeSink tee, Py_ssize_t i) except -1) except -1
