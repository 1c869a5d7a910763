"""The memory of a typed ring."""
cimport cython
from libc.string cimport memcpy


cdef class Storage:
    cdef void *mirror  # sr_mirror; NULL: the heap
    cdef char *base  # 2 * nbytes are addressable here
    cdef Py_ssize_t nbytes  # one turn
    cdef int *is_mirrored  # a fork may end it

    @cython.final
    cdef inline void complete_read(self, Py_ssize_t offset, Py_ssize_t nbytes) noexcept nogil:
        """Make the run that is about to be read contiguous."""
        if not self.is_mirrored[0] and offset + nbytes > self.nbytes:
            memcpy(self.base + self.nbytes, self.base, offset + nbytes - self.nbytes)

    @cython.final
    cdef inline void complete_write(self, Py_ssize_t offset, Py_ssize_t nbytes) noexcept nogil:
        """Carry what was written beyond the end back to the start."""
        if not self.is_mirrored[0] and offset + nbytes > self.nbytes:
            memcpy(self.base, self.base + self.nbytes, offset + nbytes - self.nbytes)


cdef Storage allocate(Py_ssize_t count, Py_ssize_t itemsize)
