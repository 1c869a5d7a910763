# cython: language_level=3, boundscheck=False
"""Cython code of a user of SpscRing. tests/interop/test_cython.py compiles it against the installed package."""
from libc.string cimport memcpy

from spill_ring cimport ArrayRing
from spill_ring.scalar cimport numeric
from spill_ring.spsc_ring cimport SpscRing


cdef long long FOREVER = 2**63 - 1


cdef int push_some(SpscRing ring, Py_ssize_t n, numeric first) except -1 nogil:
    cdef Py_ssize_t i
    for i in range(n):
        ring.push_value(<numeric>(first + <numeric>i))
    return 0


cdef object pop_some(SpscRing ring, Py_ssize_t n, numeric kind):
    cdef numeric value = kind
    got = []
    while len(got) < n and ring.pop_value(&value):
        got.append(value)
    return got


cdef class RefusingRing(ArrayRing):
    """A ring that raises when it is sent items."""

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        with gil:
            raise OSError("refused")


cdef class RefusingSpscRing(SpscRing):
    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        with gil:
            raise OSError("refused")


def push_typed(SpscRing ring, Py_ssize_t n, kind):
    """There is one loop for each C type."""
    if kind == "i1":
        push_some(ring, n, <signed char>0)
    elif kind == "u1":
        push_some(ring, n, <unsigned char>0)
    elif kind == "i2":
        push_some(ring, n, <short>0)
    elif kind == "u2":
        push_some(ring, n, <unsigned short>0)
    elif kind == "i4":
        push_some(ring, n, <int>0)
    elif kind == "u4":
        push_some(ring, n, <unsigned int>0)
    elif kind == "l":
        push_some(ring, n, <long>0)
    elif kind == "L":
        push_some(ring, n, <unsigned long>0)
    elif kind == "i8":
        push_some(ring, n, <long long>0)
    elif kind == "u8":
        push_some(ring, n, <unsigned long long>0)
    elif kind == "f4":
        push_some(ring, n, <float>0)
    else:
        push_some(ring, n, <double>0)


def pop_typed(SpscRing ring, Py_ssize_t n, kind):
    if kind == "i1":
        return pop_some(ring, n, <signed char>0)
    if kind == "u1":
        return pop_some(ring, n, <unsigned char>0)
    if kind == "i2":
        return pop_some(ring, n, <short>0)
    if kind == "u2":
        return pop_some(ring, n, <unsigned short>0)
    if kind == "i4":
        return pop_some(ring, n, <int>0)
    if kind == "u4":
        return pop_some(ring, n, <unsigned int>0)
    if kind == "l":
        return pop_some(ring, n, <long>0)
    if kind == "L":
        return pop_some(ring, n, <unsigned long>0)
    if kind == "i8":
        return pop_some(ring, n, <long long>0)
    if kind == "u8":
        return pop_some(ring, n, <unsigned long long>0)
    if kind == "f4":
        return pop_some(ring, n, <float>0)
    return pop_some(ring, n, <double>0)


def push_block(SpscRing ring, double[::1] items):
    with nogil:
        ring.push_block(&items[0], items.shape[0])


def try_push_block(SpscRing ring, double[::1] items):
    cdef Py_ssize_t count
    with nogil:
        count = ring.try_push_block(&items[0], items.shape[0])
    return count


def pop_block(SpscRing ring, double[::1] out):
    cdef Py_ssize_t count
    with nogil:
        count = ring.pop_block(&out[0], out.shape[0])
    return count


def negative_counts(SpscRing ring):
    cdef double one = 1
    refused = 0
    try:
        ring.push_block(&one, -1)
    except ValueError:
        refused += 1
    try:
        ring.try_push_block(&one, -1)
    except ValueError:
        refused += 1
    try:
        ring.pop_block(&one, -1)
    except ValueError:
        refused += 1
    try:
        ring.reserve(-1)
    except ValueError:
        refused += 1
    return refused


def reserve_commit(SpscRing ring, double[::1] items, Py_ssize_t reserved):
    cdef void *room
    with nogil:
        room = ring.reserve(reserved)
        memcpy(room, &items[0], items.shape[0] * sizeof(double))
        ring.commit(items.shape[0])


def wait_items(SpscRing ring, Py_ssize_t count, long long deadline):
    cdef bint there
    with nogil:
        there = ring.wait_items(count, deadline)
    return there


def produce(SpscRing ring, long long n, Py_ssize_t block):
    """Push 0 … n - 1 without the GIL: one by one if `block` is 0, else by each of the block calls in turn."""
    cdef long long i = 0
    cdef Py_ssize_t count, j, turn = 0
    cdef double items[64]
    cdef double *room
    with nogil:
        if block == 0:
            while i < n:
                ring.push_value(<double>i)
                i += 1
        while i < n:
            count = <Py_ssize_t>min(block, n - i)
            turn += 1
            if turn % 3 == 0:
                room = <double *>ring.reserve(count)
                for j in range(count):
                    room[j] = i + j
                ring.commit(count)
            else:
                for j in range(count):
                    items[j] = i + j
                if turn % 3 == 1:
                    ring.push_block(items, count)
                else:
                    count = ring.try_push_block(items, count)
            i += count


def consume(SpscRing ring, Py_ssize_t block):
    """Pop until the end, without the GIL. Returns how many, their sum, and whether they were in order."""
    cdef long long popped = 0
    cdef double total = 0
    cdef double last = -1
    cdef bint in_order = True
    cdef Py_ssize_t count, j
    cdef double items[64]
    with nogil:
        while ring.wait_items(1, FOREVER):
            if block == 0:
                count = ring.pop_value(&items[0])
            else:
                count = ring.pop_block(items, block)
            for j in range(count):
                in_order = in_order and items[j] > last
                last = items[j]
                total += last
            popped += count
    return popped, total, in_order
