from libc.stdint cimport uint64_t

cdef uint64_t checksum_of(const unsigned char *data, Py_ssize_t size) noexcept nogil
