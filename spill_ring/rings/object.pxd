"""A ring of Python objects."""
cimport cython
from cpython.object cimport PyObject

from spill_ring._core.cpython cimport Py_INCREF
from spill_ring.rings.base cimport Ring


cdef extern from *:
    """
    /* Without the counting of references that Cython does around an object's macros. */
    #define sr_list_size(list) PyList_GET_SIZE(list)
    #define sr_list_items(list) (((PyListObject *)(list))->ob_item)
    """
    Py_ssize_t sr_list_size(PyObject *list)
    PyObject **sr_list_items(PyObject *list)


cdef class ObjectRing(Ring):
    # A list, because the garbage collector sees into it. Empty slots hold None. `slot` moves only as an item is
    # written, so it is not the tail modulo the capacity: items that were forwarded have a number, but no slot.
    cdef list items
    cdef Py_ssize_t slot  # where the next item goes
    # References that were dropped while the ring was entered. A destructor may push here, so `run_deferred` leaves the
    # ring first, and then releases them.
    cdef list trash
    cdef Py_ssize_t trashed

    cdef int push_full(self, PyObject *item) except -1
    cdef int evict_oldest(self) except -1
    cdef int exchange(self, PyObject *new) except -1
    cdef int discard(self, PyObject *item) except -1
    cdef int raise_list(self) except -1
    cdef list pop_list(self, Py_ssize_t count)

    @cython.final
    cdef inline PyObject **slots(self) except NULL:
        # Anyone may find the list with gc.get_objects() and resize it, and the garbage collector may clear it.
        if sr_list_size(<PyObject *>self.items) != self.size:
            self.raise_list()
        return sr_list_items(<PyObject *>self.items)

    @cython.final
    cdef inline PyObject *swap(self, PyObject **slots, PyObject *item) noexcept:
        """Put an item into the next slot, and return the reference that was there, which the caller has to release."""
        cdef PyObject *old = slots[self.slot]
        Py_INCREF(item)
        slots[self.slot] = item
        self.slot = self.slot + 1 if self.slot + 1 < self.size else 0
        self.tail += 1
        return old

    @cython.final
    cdef inline Py_ssize_t slot_of(self, long long position) noexcept nogil:
        cdef Py_ssize_t slot = self.slot - <Py_ssize_t>(self.tail - position)
        return slot if slot >= 0 else slot + self.size
