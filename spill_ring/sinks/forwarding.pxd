"""What the sinks in front of one other sink share."""
from spill_ring._core.sink cimport Sink


cdef class ForwardingSink(Sink):
    cdef object sink  # as it was given

    cdef int attach(self, object given) except -1
    cdef int adopt(self) except -1
    cdef int flush_groups(self, Py_ssize_t least) except -1
    cdef int forward_all(self, Py_ssize_t least) except -1
