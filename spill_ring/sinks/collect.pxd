"""Memory that grows, as a sink."""
from spill_ring._core.lending cimport LendingSink


cdef class CollectSink(LendingSink):
    cdef list objects  # there from the first one on
    cdef char *data
    cdef Py_ssize_t count, room  # in items
    cdef long long received, given_away  # items, ever

    cdef bint has_room(self, Py_ssize_t count) noexcept nogil  # there is memory for so many more, or there is now
    cdef int look(self) except -1
    cdef object read_kept(self, long long start, Py_ssize_t count, object number)
    cdef int raise_growth(self) except -1 with gil
