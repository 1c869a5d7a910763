"""Where items leave one side of a ring between threads: its sink, as the C core calls it."""
from cpython.mem cimport PyMem_RawRealloc
from cpython.object cimport PyObject

from spill_ring._core.chain cimport drop_user
from spill_ring._core.cpython cimport PyThread_get_thread_ident
from spill_ring._core.guard cimport SR_CLOSED, SR_NEW, sr_state_cas, sr_state_store
from spill_ring._core.sink cimport Sink, deliver, deliver_objects
from spill_ring.threads.core cimport sr_spsc_state, sr_spsc_has_ended


cdef int send_items_out(void *context, const void *items, size_t count, size_t *taken) except -1 nogil:
    cdef SinkContext *out = <SinkContext *>context
    cdef unsigned long before = out.thread[0]  # in a drain of several rings, `set_thread` has set it already
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
            return send_and_keep(out, <PyObject **>items, <Py_ssize_t>count, taken)
        finally:
            out.thread[0] = before


cdef int send_and_keep(SinkContext *out, PyObject **items, Py_ssize_t count, size_t *taken) except -1:
    """Send objects to a sink, and keep the references of those that it took as trash."""
    cdef Py_ssize_t i
    cdef Py_ssize_t sent = 0
    cdef PyObject **trash
    if out.count + count > out.allocated:  # before the items are sent, since it may fail
        trash = <PyObject **>PyMem_RawRealloc(out.trash, (out.count + count) * sizeof(void *))
        if trash == NULL:
            raise MemoryError(f"no memory for references to {count} objects that are evicted")
        out.trash = trash
        out.allocated = out.count + count
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


cdef int release_sink(sr_spsc_state *ring) except -1:
    if ring.sink == NULL or not sr_spsc_has_ended(&ring.core) or ring.core.pending_count:
        return 0
    if sr_state_cas(&ring.sink_state, SR_NEW, SR_CLOSED) != SR_NEW:
        return 0
    try:
        drop_user(<Sink>ring.sink)
    except BaseException:
        sr_state_store(&ring.sink_state, SR_NEW)
        raise
    return 0
