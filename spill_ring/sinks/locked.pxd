"""A lock in front of one sink that several producers share."""
from spill_ring.sinks.forwarding cimport ForwardingSink


cdef class LockedSink(ForwardingSink):
    cdef object lock
    cdef unsigned long owner  # thread that holds it; 0: none. Only whose it is can find its own
    cdef Py_ssize_t forks

    cdef int acquire(self) except -1
    cdef int release(self) except -1
