"""Where items leave one side of a ring between threads: the sink behind, as the C core calls it."""
from cpython.mem cimport PyMem_RawRealloc
from cpython.object cimport PyObject

from spill_ring._core.sink cimport Sink, deliver, deliver_objects


cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident() nogil


cdef int send_items_out(void *context, const void *items, size_t count, size_t *taken) except -1 nogil:
    cdef SinkContext *out = <SinkContext *>context
    cdef unsigned long before = out.thread[0]  # a drain of several rings is inside of all until it ends
    out.thread[0] = PyThread_get_thread_ident()
    try:
        return deliver(<Sink>out.sink, items, <Py_ssize_t>count, <Py_ssize_t *>taken)
    finally:
        out.thread[0] = before


cdef int send_objects_out(void *context, const void *items, size_t count, size_t *taken) except -1 nogil:
    cdef SinkContext *out = <SinkContext *>context
    cdef unsigned long before = out.thread[0]
    with gil:
        out.thread[0] = PyThread_get_thread_ident()
        try:
            return pass_objects(out, <PyObject **>items, <Py_ssize_t>count, taken)
        finally:
            out.thread[0] = before


cdef int pass_objects(SinkContext *out, PyObject **items, Py_ssize_t count, size_t *taken) except -1:
    """Send objects to a sink, and put the references of those it took aside."""
    cdef Py_ssize_t i
    cdef Py_ssize_t sent = 0
    cdef PyObject **trash
    if out.count + count > out.room:  # first: what was taken has to go somewhere
        trash = <PyObject **>PyMem_RawRealloc(out.trash, (out.count + count) * sizeof(void *))
        if trash == NULL:
            raise MemoryError
        out.trash = trash
        out.room = out.count + count
    try:
        if out.sink == NULL:
            sent = count
        else:
            deliver_objects(<Sink>out.sink, items, count, &sent)
    finally:
        for i in range(sent):
            out.trash[out.count] = items[i]
            out.count += 1
            items[i] = NULL
        taken[0] += sent
    return 0
