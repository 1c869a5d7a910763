"""Memory that grows, as a sink."""
from spill_ring._core.lending cimport LendingSink


cdef class CollectSink(LendingSink):
    cdef list objects
    cdef char *data
    cdef Py_ssize_t count, allocated  # in items
    cdef long long received, given_away  # items, ever

    cdef bint grow_for(self, Py_ssize_t count) noexcept nogil  # False: there is no memory for so many more
    cdef int enter_any(self) except -1
    cdef object read_kept(self, long long start, Py_ssize_t count, object number)
    cdef int raise_growth(self) except -1 with gil
