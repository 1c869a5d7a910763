# cython: boundscheck=False, wraparound=False
"""The loops that compiled.py times. The values differ, so that no compiler can make one of many."""
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
