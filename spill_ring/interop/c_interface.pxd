"""A ring's C interface, which `spill_ring/interface.h` declares and explains."""


cdef extern from "spill_ring/interface.h" nogil:
    const char *SPILL_RING_CAPSULE
    enum:
        SPILL_RING_VERSION
    ctypedef struct spill_ring_interface:
        int version
        size_t size
        Py_ssize_t item_size
        void *state
        int (*push)(void *state, const void *items, Py_ssize_t count) noexcept nogil
        Py_ssize_t (*pop)(void *state, void *out, Py_ssize_t count) noexcept nogil
        Py_ssize_t (*length)(void *state) noexcept nogil
        int (*reserve)(void *state, Py_ssize_t count, void **dest) noexcept nogil
        int (*commit)(void *state, Py_ssize_t count) noexcept nogil
        char **next
        char **stop


# A ring's interface, and a reference that keeps the ring alive.
cdef class CInterface:
    cdef spill_ring_interface c
    cdef object ring
