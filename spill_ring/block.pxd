"""Blocks: runs of items of one dtype as memory, and as ndarrays."""
cimport numpy as cnp


cdef cnp.dtype item_dtype(object dtype)
cdef cnp.ndarray new_block(cnp.dtype dtype, Py_ssize_t count)
cdef cnp.ndarray copy_block(cnp.dtype dtype, const void *items, Py_ssize_t count)
cdef cnp.ndarray view_block(cnp.dtype dtype, void *items, Py_ssize_t count, object owner, bint writeable)
cdef object item_of(cnp.dtype dtype, const void *item)
cdef bint is_block(object items, cnp.dtype dtype) noexcept
cdef cnp.ndarray as_block(object items, cnp.dtype dtype)
cdef cnp.ndarray as_item(object item, cnp.dtype dtype)
