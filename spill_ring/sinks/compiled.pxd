"""Compiled functions that are given as sinks."""

# `int (const void *items, ptrdiff_t count, void *user_data)`: takes all, and returns 0; or takes none.
ctypedef int (*native_sink)(const void *items, Py_ssize_t count, void *user_data) noexcept nogil

# The function in what was given, and its user data; NULL if that is a callable of Python's, or nothing of the kind.
# TypeError if it is a function of another signature.
cdef native_sink native_function(object given, void **user_data) except? NULL
