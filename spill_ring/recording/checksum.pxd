"""The checksum of recordings, for compiled readers: of bytes in memory, or of bytes that come in pieces."""
from libc.stdint cimport uint64_t


cdef struct Checksum:
    uint64_t a, b, c, d  # four lanes, as a step waits 5 cycles for the one before it
    uint64_t size


cdef void checksum_begin(Checksum *sum) noexcept nogil
# The size is a multiple of 32, but for the last piece.
cdef void checksum_add(Checksum *sum, const unsigned char *data, Py_ssize_t size) noexcept nogil
cdef uint64_t checksum_end(const Checksum *sum) noexcept nogil
cdef uint64_t checksum_of(const unsigned char *data, Py_ssize_t size) noexcept nogil
