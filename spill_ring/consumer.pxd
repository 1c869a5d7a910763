"""The consumer of one ring, or of several together: what there is for it, and waiting for it."""
from spill_ring.park cimport Parking
from spill_ring.spsc cimport sr_shared


ctypedef struct merged:  # the rings, as one
    sr_shared **rings
    Py_ssize_t count


cdef class Consumer:
    cdef merged rings
    cdef Py_ssize_t room  # for rings
    cdef Parking parking  # where it sleeps; a ring that several consumers know wakes the last that added it

    cdef int add(self, sr_shared *ring) except -1
    cdef Py_ssize_t available(self) noexcept nogil
    # Wait for `n` items in all rings together. False: the time is over, or the rings are closed and hold fewer.
    cdef bint wait(self, Py_ssize_t n, long long deadline) except -1 nogil

    # The same in an event loop, once the consumer's side is entered. `listen` gives the descriptor that becomes
    # readable after `ask`, which says whether the wait is over already; `listen_no_more` whether they are there.
    cdef int listen(self) except -2
    cdef bint ask(self, Py_ssize_t n) noexcept
    cdef bint listen_no_more(self, Py_ssize_t n) noexcept
