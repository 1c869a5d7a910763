# cython: boundscheck=False, wraparound=False
"""The loops that compiled.py times. Each value differs, so that no compiler merges several pushes into one."""
from libc.string cimport memcpy

from spill_ring cimport ArrayRing


def push_values(ArrayRing ring, unsigned long long count):
    cdef unsigned long long value
    with nogil:
        for value in range(count):
            ring.push_value(value)


def push_blocks(ArrayRing ring, unsigned long long[::1] block, unsigned long long count):
    cdef unsigned long long i
    with nogil:
        for i in range(count):
            block[0] = i
            ring.push_block(&block[0], block.shape[0])


def push_bytes(ArrayRing ring, const unsigned char[::1] block, Py_ssize_t items, unsigned long long count):
    cdef unsigned long long _
    with nogil:
        for _ in range(count):
            ring.push_block(&block[0], items)


def copy_bytes(unsigned char[::1] buffer, const unsigned char[::1] block, unsigned long long count):
    """Copy the bytes, which any ring must do at least."""
    cdef unsigned long long _
    with nogil:
        for _ in range(count):  # gcc keeps each call
            memcpy(&buffer[0], &block[0], block.shape[0])
