# cython: boundscheck=False, wraparound=False
"""The loops that interface.py times. In C they use a ring's interface, in Cython its methods."""
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New

from spill_ring cimport Sink


cdef extern from *:
    """
    #include <spill_ring/interface.h>

    static void push_values_c(const spill_ring_interface *ring, uint64_t count)
    {
        uint64_t i;
        for (i = 0; i < count; i++)
            spill_ring_push_u8(ring, i);
    }

    static void push_blocks_c(const spill_ring_interface *ring, unsigned long long *block, ptrdiff_t length,
                              uint64_t count)
    {
        uint64_t i;
        for (i = 0; i < count; i++) {
            block[0] = i;
            ring->push(ring->state, block, length);
        }
    }

    static int count_natively(const void *items, ptrdiff_t count, void *user_data)
    {
        static ptrdiff_t total;
        total += count;
        return 0;
    }
    """
    const char *SPILL_RING_CAPSULE
    ctypedef struct spill_ring_interface:
        pass
    void push_values_c(const spill_ring_interface *ring, unsigned long long count) nogil
    void push_blocks_c(
        const spill_ring_interface *ring, unsigned long long *block, Py_ssize_t length, unsigned long long count
    ) nogil
    int count_natively(const void *items, Py_ssize_t count, void *user_data) noexcept nogil


def by_interface(capsule, unsigned long long count):
    cdef spill_ring_interface *ring = <spill_ring_interface *>PyCapsule_GetPointer(capsule, SPILL_RING_CAPSULE)
    with nogil:
        push_values_c(ring, count)


def blocks_by_interface(capsule, unsigned long long[::1] block, unsigned long long count):
    cdef spill_ring_interface *ring = <spill_ring_interface *>PyCapsule_GetPointer(capsule, SPILL_RING_CAPSULE)
    with nogil:
        push_blocks_c(ring, &block[0], block.shape[0], count)


cdef class CountSink(Sink):
    """A sink in Cython that counts items. Nobody reads the count."""

    cdef Py_ssize_t total

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        self.total += count
        taken[0] += count
        return 0


def native_sink():
    return PyCapsule_New(<void *>count_natively, "int (const void *, ptrdiff_t, void *)", NULL)
