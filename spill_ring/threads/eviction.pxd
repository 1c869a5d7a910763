"""Where items leave one side of a ring between threads: its sink, as the C core calls it."""
from cpython.mem cimport PyMem_RawFree
from cpython.object cimport PyObject

from spill_ring._core.cpython cimport Py_DECREF
from spill_ring.threads.core cimport sr_spsc_state


# The references of objects that left are dropped once that side is left.
ctypedef struct SinkContext:
    void *sink  # NULL: they are dropped
    unsigned long *thread  # the side's: the one that is in the sink
    PyObject **trash
    Py_ssize_t count, allocated

# Of type `sr_sink`, with a SinkContext as the context.
cdef int send_items_out(void *context, const void *items, size_t count, size_t *taken) except -1 nogil
cdef int send_objects_out(void *context, const void *items, size_t count, size_t *taken) except -1 nogil

# Remove and return the trash of a SinkContext. It is emptied once the side is left, since a destructor may enter it.
cdef inline SinkContext take_trash(SinkContext *out) noexcept:
    cdef SinkContext taken = out[0]
    out.trash = NULL
    out.count = out.allocated = 0
    return taken


cdef inline void empty_trash(SinkContext *out) noexcept:
    while out.count:
        out.count -= 1
        Py_DECREF(out.trash[out.count])
    PyMem_RawFree(out.trash)


# Release the sink if nothing can come any more. Whichever side finds that out first does: `close`, or a call of the
# consumer's that finds nothing, or that has drained, waited for or flushed the rest.
cdef int release_sink(sr_spsc_state *ring) except -1
