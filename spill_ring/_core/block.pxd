"""Blocks: runs of items of one dtype as memory, and as ndarrays."""
cimport numpy as cnp


cdef enum:
    # Bytes from which on a copy releases the GIL: a shorter one takes less time than getting the GIL back.
    GIL_RELEASE_BYTES = 65536

cdef cnp.dtype item_dtype(object dtype)
cdef cnp.ndarray new_block(cnp.dtype dtype, Py_ssize_t count)
cdef cnp.ndarray copy_block(cnp.dtype dtype, const void *items, Py_ssize_t count)
# The same for code that releases the GIL now and then anyway.
cdef cnp.ndarray copy_block_for_python(cnp.dtype dtype, const void *items, Py_ssize_t count)
cdef cnp.ndarray view_block(cnp.dtype dtype, void *items, Py_ssize_t count, object owner, bint writeable)
cdef object item_of(cnp.dtype dtype, const void *item)
cdef bint is_like_block(object items, cnp.dtype dtype) noexcept
# Can the memory of `item` be copied as that of one item?
cdef bint is_like_item(object item, cnp.dtype dtype) noexcept

# The `scalar_index` of a dtype's C type; -1 if its items are no plain C numbers.
cdef int scalar_of(cnp.dtype dtype) except? -1

# Convert a Python number to one of that C type, without numpy, if that is simple.
cdef bint as_number(object item, int scalar, void *value) except -1


cdef inline bint is_block(object items, cnp.dtype dtype) noexcept:
    """Can the memory of `items` be copied as it is?"""
    if (
        type(items) is cnp.ndarray
        and cnp.PyArray_DESCR(<cnp.ndarray>items) == <cnp.PyArray_Descr *>dtype
        and cnp.PyArray_NDIM(<cnp.ndarray>items) == 1
        and cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>items)
    ):
        return True
    return is_like_block(items, dtype)  # the same dtype by another object, or sub-arrays
