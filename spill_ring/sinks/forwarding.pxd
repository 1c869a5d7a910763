"""What sinks share that send everything on to one other sink."""
cimport cython

from spill_ring._core.sink cimport Sink


cdef class ForwardingSink(Sink):
    cdef object sink  # as it was given

    @cython.final
    cdef int attach(self, object given) except -1

    @cython.final
    cdef int open_bound(self) except -1

    @cython.final
    cdef int flush_groups(self, Py_ssize_t min_count) except -1

    cdef int forward_all(self, Py_ssize_t min_count) except -1
