"""Where items leave one side of a ring between threads: the sink behind, as the C core calls it."""
from cpython.mem cimport PyMem_RawFree
from cpython.object cimport PyObject


cdef extern from "Python.h":
    void Py_DECREF(PyObject *o)


# The references of objects that left are let go of once that side is left.
ctypedef struct SinkContext:
    void *sink  # NULL: they are dropped
    unsigned long *thread  # the side's
    PyObject **trash
    Py_ssize_t count, room

# Of type `sr_sink`, with an SinkContext as the context.
cdef int send_items_out(void *context, const void *items, size_t count, size_t *taken) except -1 nogil
cdef int send_objects_out(void *context, const void *items, size_t count, size_t *taken) except -1 nogil

# What the trash of an SinkContext held, to be emptied once its side is left: a destructor may want to come in.
cdef inline SinkContext take_trash(SinkContext *out) noexcept:
    cdef SinkContext taken = out[0]
    out.trash = NULL
    out.count = out.room = 0
    return taken


cdef inline void empty_trash(SinkContext *out) noexcept:
    while out.count:
        out.count -= 1
        Py_DECREF(out.trash[out.count])
    PyMem_RawFree(out.trash)
