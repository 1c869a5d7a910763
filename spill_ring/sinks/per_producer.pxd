"""A sink of its own for each producer."""
from spill_ring._core.sink cimport Sink


cdef class ProducerSink(Sink):
    cdef object factory
    cdef dict given  # producer -> what the factory made
    cdef dict made  # producer -> that as a Sink
    cdef set used  # producers whose sink this one uses itself

    cdef Sink sink_of(self, object index)
    cdef int bind_made(self, object dtype) except -1
    cdef int use(self, object index, Sink sink) except -1
    cdef int send_on(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil
