"""Arguments that many calls take, checked in one place."""

# An integer, of any size.
cdef object integer_of(object value, str name)
# A capacity, or another number of items of which there must be at least one.
cdef Py_ssize_t capacity_of(object capacity, str name=*) except -1
# A count of items, clamped to PY_SSIZE_T_MAX.
cdef Py_ssize_t count_of(object n) except -1
