"""What a user gives as items, as items of a dtype."""
cimport numpy as cnp


cdef bint is_array_like(object items)
cdef cnp.ndarray as_block(object items, cnp.dtype dtype)
cdef int store_item(object item, cnp.dtype dtype, char *out) except -1

# An array's items as those of another dtype without sub-arrays, by the same rule and with the same errors.
cdef object cast_items(object array, object dtype)

# `out` as an array into which items of `dtype` can be removed, or an error that says why not.
cdef object as_destination(object out, cnp.dtype dtype)
