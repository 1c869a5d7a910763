"""Objects in a ring between threads: the references that its slots hold, moved in and out."""
from cpython.object cimport PyObject

from spill_ring._core.cpython cimport visitproc
from spill_ring.threads.core cimport sr_spsc


# A list for the slots would show them to the garbage collector, but to everybody else as well: a list that is
# cleared or grown moves its memory under a thread that is inside. So it is `visit_slots` that does.
cdef int visit_slots(sr_spsc *core, visitproc visit, void *arg) noexcept
cdef void free_slots(sr_spsc *core) noexcept

# How many there was room for. Each takes a reference.
cdef Py_ssize_t push_references(sr_spsc *core, PyObject **items, Py_ssize_t count) noexcept

# Remove up to n of the oldest. They follow each other, but for what was held before.
cdef list pop_references(sr_spsc *core, Py_ssize_t n)

# Clear. The objects come into the list, to be let go of once the consumer's side is left.
cdef int clear_references(sr_spsc *core, list dropped) except -1
