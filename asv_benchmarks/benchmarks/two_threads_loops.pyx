# cython: boundscheck=False, wraparound=False
"""The loops that two_threads.py times. They move one item at a time, without the GIL."""
from spill_ring cimport Sink
from spill_ring.spsc_ring cimport SpscRing


cdef class CountSink(Sink):
    """Counts the items that it is sent, and drops them."""

    cdef readonly long long count

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        self.count += count
        taken[0] += count
        return 0


def push_values(SpscRing ring, unsigned long long count):
    """Push all values. A value that a full ring refuses is pushed again."""
    cdef unsigned long long value
    cdef bint evicts = ring.overflow == "spill"
    with nogil:
        if evicts:
            for value in range(count):
                ring.push_value(value)
        else:
            for value in range(count):
                while not ring.try_push_value(value):
                    ring.relax()


def pop_values(SpscRing ring):
    """Pop until the ring is closed and empty. Returns how many items there were, and their sum."""
    cdef unsigned long long value = 0
    cdef unsigned long long total = 0
    cdef long long count = 0
    with nogil:
        while True:
            if ring.pop_value(&value):
                count += 1
                total += value
            elif ring.has_ended():
                break
            else:
                ring.relax()
    return count, total
