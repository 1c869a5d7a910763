"""Objects in a ring between threads: the references that its slots hold, moved in and out."""
from cpython.object cimport PyObject

from spill_ring._core.cpython cimport visitproc
from spill_ring.threads.core cimport sr_spsc


# Show the slots to the garbage collector. If they were a list, it would show them too, but any thread could get at that
# list through `gc`, and clearing or growing it would move the memory under a thread that is inside.
cdef int visit_slots(sr_spsc *core, visitproc visit, void *arg) noexcept
cdef void free_slots(sr_spsc *core) noexcept

# Push as many as there is room for, with a reference of the ring's own to each. Returns how many.
cdef Py_ssize_t push_references(sr_spsc *core, PyObject **items, Py_ssize_t count) noexcept

# Remove up to n of the oldest. Those that were claimed before come first; the others follow each other.
cdef list pop_references(sr_spsc *core, Py_ssize_t n)

# Remove all objects. They are appended to the list, so that the caller drops them after it has left its side.
cdef int clear_references(sr_spsc *core, list dropped) except -1
