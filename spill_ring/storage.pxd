"""The memory of a typed ring."""

cdef class Storage:
    cdef char *base  # 2 * nbytes are addressable here
    cdef Py_ssize_t nbytes  # one turn
    cdef bint is_mirrored
    cdef object __weakref__

    cdef void complete_read(self, Py_ssize_t offset, Py_ssize_t nbytes) noexcept nogil
    cdef void complete_write(self, Py_ssize_t offset, Py_ssize_t nbytes) noexcept nogil


cdef Storage allocate(Py_ssize_t count, Py_ssize_t itemsize)
