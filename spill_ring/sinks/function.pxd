"""A function as a sink, of Python or compiled; and whatever else a user gives as a sink."""
cimport cython

from spill_ring.sinks.compiled cimport native_sink
from spill_ring._core.sink cimport Sink


cdef class FnSink(Sink):
    cdef object fn
    cdef bint is_send  # `fn` is an object's `send`, whose result says how many items it took
    cdef object on_flush, on_close
    cdef native_sink native  # the compiled function in `fn`; NULL: `fn` is a Python callable
    cdef void *user_data

    @cython.final
    cdef int call_fn(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil

    @cython.final
    cdef int raise_error(self, int error, Py_ssize_t count) except -1 with gil


# A Sink made of what a user gave as `sink=`; it is not bound yet.
cdef Sink as_sink(object given)
