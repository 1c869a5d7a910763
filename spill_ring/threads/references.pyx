"""Objects in a ring between threads: the references that its slots hold, moved in and out."""
from cpython.list cimport PyList_New
from cpython.mem cimport PyMem_RawFree
from cpython.object cimport PyObject

from spill_ring._core.cpython cimport PY_SSIZE_T_MAX, PyList_SET_ITEM, Py_DECREF, Py_INCREF
from spill_ring.threads.core cimport (
    sr_claim, sr_finish, sr_next_slot, sr_slot, sr_spsc, sr_spsc_clear, sr_spsc_commit, sr_spsc_room,
)


cdef int visit_slots(sr_spsc *core, visitproc visit, void *arg) noexcept:
    cdef PyObject **slots = <PyObject **>core.items
    cdef Py_ssize_t i
    cdef int result = 0
    for i in range(<Py_ssize_t>core.mask + 1):
        if slots[i] != NULL and result == 0:
            result = visit(slots[i], arg)
    return result


cdef void free_slots(sr_spsc *core) noexcept:
    cdef PyObject **slots = <PyObject **>core.items
    cdef Py_ssize_t i
    for i in range(<Py_ssize_t>core.mask + 1):
        if slots[i] != NULL:
            Py_DECREF(slots[i])
    PyMem_RawFree(slots)


cdef Py_ssize_t push_references(sr_spsc *core, PyObject **items, Py_ssize_t count) noexcept:
    cdef Py_ssize_t i
    count = <Py_ssize_t>sr_spsc_room(core, count)
    for i in range(count):  # one by one, since they may go on at the start of the memory
        Py_INCREF(items[i])
        (<PyObject **>sr_next_slot(core))[0] = items[i]
        sr_spsc_commit(core, 1)
    return count


cdef list pop_references(sr_spsc *core, Py_ssize_t n):
    cdef Py_ssize_t count
    cdef list part
    cdef list taken = []
    cdef bint were_claimed = True
    while were_claimed and len(taken) < n:
        were_claimed = core.claimed_count != 0
        count = <Py_ssize_t>sr_claim(core, n - len(taken), False)
        part = PyList_New(count)
        move_claimed(core, part, count)
        sr_finish(core, count)
        taken = taken + part if taken else part
    return taken


cdef int clear_references(sr_spsc *core, list dropped) except -1:
    cdef Py_ssize_t count
    cdef list part
    while True:
        count = <Py_ssize_t>sr_claim(core, PY_SSIZE_T_MAX, False)
        if count == 0:
            return 0
        part = PyList_New(count)
        dropped.append(part)
        move_claimed(core, part, count)
        sr_spsc_clear(core, count)


cdef inline void move_claimed(sr_spsc *core, list part, Py_ssize_t count) noexcept:
    """Move the first claimed objects into a list that was made for so many."""
    cdef Py_ssize_t i
    cdef PyObject **slot
    for i in range(count):
        slot = <PyObject **>sr_slot(core, core.claimed + i)
        PyList_SET_ITEM(part, i, slot[0])
        slot[0] = NULL
