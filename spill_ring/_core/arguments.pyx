"""Arguments that many calls take, checked in one place."""
from spill_ring._core.cpython cimport PY_SSIZE_T_MAX

import operator


cdef object integer_of(object value, str name):
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {value!r}") from None


cdef Py_ssize_t capacity_of(object capacity, str name="capacity") except -1:
    cdef Py_ssize_t size
    try:
        size = integer_of(capacity, name)
    except OverflowError:
        if capacity < 0:
            raise ValueError(f"{name} must be at least 1, not {capacity}") from None
        raise MemoryError(f"{name} is {capacity}, which is more than this machine can address") from None
    if size < 1:
        raise ValueError(f"{name} must be at least 1, not {capacity}")
    return size


cdef Py_ssize_t count_of(object n) except -1:
    count = integer_of(n, "a count of items")
    if count < 0:
        raise ValueError(f"a count of items can't be negative: {n}")
    return min(count, PY_SSIZE_T_MAX)
