# cython: language_level=3, boundscheck=False
"""Cython code of a user. tests/interop/test_cython.py compiles it against the installed package."""
from libc.string cimport memcpy

from spill_ring cimport ArrayRing, CollectSink, Sink
from spill_ring._core.lending cimport LendingSink
from spill_ring._core.sink cimport LENDS, TRACED, declare_traits


cdef class SumSink(Sink):
    """Adds up the numbers that it is sent, without the GIL."""

    cdef public double total
    cdef public Py_ssize_t blocks
    cdef public Py_ssize_t refuse_after  # refuses after so many blocks; -1 means never

    def __init__(self):
        self.refuse_after = -1

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        cdef Py_ssize_t i
        if self.blocks == self.refuse_after:
            with gil:
                raise OSError("refused")
        for i in range(count):
            self.total += (<const double *>items)[i]
        self.blocks += 1
        taken[0] += count
        return 0


cdef class ReversingSink(CollectSink):
    """Keeps the items of each block in reverse order, and doesn't tell `history` about it."""

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        cdef Py_ssize_t i
        for i in range(count - 1, -1, -1):
            CollectSink.send_block(self, <const double *>items + i, 1, taken)
        return 0


cdef class OrderedSink(ReversingSink):
    """Keeps the items in order, and tells `history` so."""

    cdef public Py_ssize_t seen

    def __cinit__(self, *args, **kwargs):
        declare_traits(self, OrderedSink, TRACED)

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        self.seen += count
        return CollectSink.send_block(self, items, count, taken)


cdef class Shelf(LendingSink):
    """Keeps up to 1,000 doubles. If it is guarded, it lends the memory for them."""

    cdef double kept[1000]
    cdef Py_ssize_t count

    def __cinit__(self, *args, **kwargs):
        declare_traits(self, Shelf, LENDS)

    def __init__(self, bint is_guarded):
        self.is_guarded = is_guarded

    cdef Py_ssize_t lend_slots(self) noexcept nogil:
        self.cursor = <char *>&self.kept[self.count]
        return 1000 - self.count

    cdef void count_window(self, Py_ssize_t count) noexcept nogil:
        self.count += count

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        if self.count + count > 1000:
            with gil:
                raise MemoryError
        memcpy(&self.kept[self.count], items, count * sizeof(double))
        self.count_window(count)
        taken[0] += count
        return 0

    def __len__(self):
        return self.count + self.uncounted()

    def items(self):
        self.enter()
        found = [self.kept[i] for i in range(self.count)]
        self.leave()
        return found


def push_doubles(ArrayRing ring, Py_ssize_t n, double first=0):
    cdef Py_ssize_t i
    with nogil:
        for i in range(n):
            ring.push_value(first + i)


def push_typed(ArrayRing ring, Py_ssize_t n, kind):
    """There is one loop for each C type that push_value takes."""
    cdef Py_ssize_t i
    if kind == "i1":
        for i in range(n):
            ring.push_value(<signed char>i)
    elif kind == "u1":
        for i in range(n):
            ring.push_value(<unsigned char>i)
    elif kind == "i2":
        for i in range(n):
            ring.push_value(<short>i)
    elif kind == "u2":
        for i in range(n):
            ring.push_value(<unsigned short>i)
    elif kind == "i4":
        for i in range(n):
            ring.push_value(<int>i)
    elif kind == "u4":
        for i in range(n):
            ring.push_value(<unsigned int>i)
    elif kind == "i8":
        for i in range(n):
            ring.push_value(<long long>i)
    elif kind == "u8":
        for i in range(n):
            ring.push_value(<unsigned long long>i)
    elif kind == "f4":
        for i in range(n):
            ring.push_value(<float>i)
    else:
        push_doubles(ring, n)


def push_block(ArrayRing ring, double[::1] items):
    with nogil:
        ring.push_block(&items[0], items.shape[0])


def pop_block(ArrayRing ring, double[::1] out):
    cdef Py_ssize_t count
    with nogil:
        count = ring.pop_block(&out[0], out.shape[0])
    return count


def reserve_commit(ArrayRing ring, double[::1] items, Py_ssize_t reserved):
    cdef void *room
    with nogil:
        room = ring.reserve(reserved)
        memcpy(room, &items[0], items.shape[0] * sizeof(double))
        ring.commit(items.shape[0])
