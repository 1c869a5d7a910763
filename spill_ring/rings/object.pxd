"""A ring of Python objects."""
cimport cython
from cpython.object cimport PyObject

from spill_ring.rings.base cimport Ring


cdef extern from *:
    """
    /* Without the counting of references that Cython does around an object's macros. */
    #define sr_list_size(list) PyList_GET_SIZE(list)
    #define sr_list_items(list) (((PyListObject *)(list))->ob_item)
    """
    Py_ssize_t sr_list_size(PyObject *list)
    PyObject **sr_list_items(PyObject *list)
    void Py_INCREF(PyObject *o)


cdef class ObjectRing(Ring):
    # A list, because the garbage collector sees into it. Slots that hold nothing hold None. Only
    # items that are stored move `slot`, so it counts apart from the sequence numbers.
    cdef list items
    cdef Py_ssize_t slot  # where the next item goes
    # What was let go of while the ring was entered; a destructor may want to push here, so they run
    # after `run_deferred` has left it.
    cdef list trash
    cdef Py_ssize_t trashed

    cdef int push_full(self, PyObject *item) except -1
    cdef int evict_oldest(self) except -1
    cdef int discard(self, PyObject *item) except -1
    cdef int raise_list(self) except -1
    cdef list pop_list(self, Py_ssize_t count)

    @cython.final
    cdef inline PyObject **slots(self) except NULL:
        # The list can be found with gc.get_objects() and resized, or cleared as garbage.
        if sr_list_size(<PyObject *>self.items) != self.size:
            self.raise_list()
        return sr_list_items(<PyObject *>self.items)

    @cython.final
    cdef inline PyObject *swap(self, PyObject **slots, PyObject *item) noexcept:
        """Put an item into the next slot; the reference that was there is the caller's."""
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
