"""A lock in front of one sink that several producers share."""
from spill_ring._core.deadlock cimport atomic_ulong
from spill_ring.sinks.forwarding cimport ForwardingSink


cdef class LockedSink(ForwardingSink):
    cdef object lock
    # The thread that holds the lock; 0: none. A thread finds its own id here only if it holds the lock.
    cdef atomic_ulong owner
    cdef Py_ssize_t forks

    cdef int acquire(self) except -1
    cdef int wait_for_lock(self, object lock) except -1
    cdef int release(self) except -1
