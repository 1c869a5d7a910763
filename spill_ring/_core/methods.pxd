"""Methods that a class gets after it was made."""

# Cython keeps cdef and def methods in one namespace. Compiled code calls `reserve` and `commit` for pointers, and
# Python calls them for ndarrays, so the Python ones are functions that this puts into the type.
cdef int add_methods(type kind, tuple methods) except -1
