"""A ring of Python objects."""
cimport cython
from cpython.object cimport PyObject

from spill_ring.ring cimport Ring


cdef class ObjectRing(Ring):
    # A list, because the garbage collector sees into it. Slots that hold nothing hold None. Only
    # items that are stored move `slot`, so it counts apart from the sequence numbers.
    cdef list items
    cdef Py_ssize_t slot  # where the next item goes

    cdef PyObject **slots(self) except NULL
    cdef list take(self, Py_ssize_t count)

    @cython.final
    cdef inline Py_ssize_t slot_of(self, long long position) noexcept nogil:
        cdef Py_ssize_t slot = self.slot - <Py_ssize_t>(self.tail - position)
        return slot if slot >= 0 else slot + self.size
