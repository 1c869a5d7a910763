"""Arguments that many calls take, checked in one place."""

# A capacity, or another number of items of which there must be at least one.
cdef Py_ssize_t capacity_of(object capacity, str name=*) except -1
# A count of items, as large as it may be.
cdef Py_ssize_t count_of(object n) except -1
