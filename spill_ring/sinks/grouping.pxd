"""What sinks share that gather items into groups."""
cimport cython

from spill_ring.sinks.forwarding cimport ForwardingSink


cdef class GroupingSink(ForwardingSink):
    cdef Py_ssize_t n
    cdef Py_ssize_t n_filled  # items of the group that is filling
    cdef object group  # ndarray of n items
    cdef char *group_data
    cdef list objects
    cdef bint passes_unchanged  # the items, so that those pending behind are of the same kind

    @cython.final
    cdef int attach_groups(self, object n, object given) except -1

    cdef int forward(self, const void *items, Py_ssize_t groups, Py_ssize_t *taken) except -1 nogil
    cdef int forward_part(self, Py_ssize_t *taken) except -1 nogil

    @cython.final
    cdef int forward_group(self) except -1 nogil

    cdef int forward_objects(self) except -1
