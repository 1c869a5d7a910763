"""Callables that would take items and deliver nothing."""
from cpython.object cimport PyObject


cdef extern from *:
    """
    static inline int sr_is_awaitable(PyObject *object)
    {
        PyAsyncMethods *methods = Py_TYPE(object)->tp_as_async;
        return methods != NULL && methods->am_await != NULL;
    }
    """
    bint sr_is_awaitable(PyObject *object) noexcept


# Refuse a callable that only makes something to be awaited or iterated over. `given`: what the user gave it as.
cdef int refuse_async(object given, object function) except -1

cdef int refuse_awaitable(object function, object result) except -1


cdef inline int refuse_coroutine(object function, object result) except -1:
    """Refuse what such a callable has returned, if nothing told before that it is one.

    Of all else no Python code runs, and no signal handler: the items that were taken are counted first.
    """
    return refuse_awaitable(function, result) if sr_is_awaitable(<PyObject *>result) else 0
