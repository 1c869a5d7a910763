"""Blocks: runs of items of one dtype, as memory and as ndarrays."""
cimport numpy as cnp
from cpython.object cimport PyObject
from libc.string cimport memcpy

from spill_ring._core.cpython cimport PyFloat_AS_DOUBLE, PyLong_AsLongLongAndOverflow, Py_INCREF
from spill_ring._core.scalar cimport scalar_index

import numpy as np

cnp.import_array()


cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyTypeObject:
        pass
    PyTypeObject PyArray_Type
    # steals a reference to the dtype
    object PyArray_NewFromDescr(
        PyTypeObject *subtype, cnp.PyArray_Descr *dtype, int ndim, cnp.npy_intp *dims, cnp.npy_intp *strides,
        void *data, int flags, PyObject *obj
    )
    object PyArray_Scalar(void *data, cnp.dtype dtype, PyObject *base)
    bint PyArray_EquivTypes(cnp.PyArray_Descr *a, cnp.PyArray_Descr *b) noexcept


cdef cnp.dtype item_dtype(object dtype):
    """The dtype of a typed ring's items, or an error that says what would do."""
    cdef cnp.dtype found = np.dtype(dtype)
    if found.hasobject:
        raise TypeError(f"dtype {found!r} holds references to Python objects; use an ObjectRing for those")
    if found.base.subdtype is not None:  # an array of arrays is one array
        return item_dtype((found.base.base, found.shape + found.base.shape))
    if found.itemsize == 0:
        raise ValueError(f"dtype {found!r} has items of no size; give a length, as in 'S16' or 'U16'")
    return found


cdef cnp.ndarray wrap(cnp.dtype dtype, void *items, Py_ssize_t count, int flags):
    cdef cnp.npy_intp length = count
    Py_INCREF(<PyObject *>dtype)
    # a sub-array dtype adds its own dimensions here, as np.empty does
    return PyArray_NewFromDescr(
        &PyArray_Type, <cnp.PyArray_Descr *>dtype, 1, &length, NULL, items, flags, NULL
    )


cdef cnp.ndarray new_block(cnp.dtype dtype, Py_ssize_t count):
    """Uninitialised memory for `count` items."""
    return wrap(dtype, NULL, count, 0)


cdef cnp.ndarray copy_block(cnp.dtype dtype, const void *items, Py_ssize_t count):
    """A copy of `count` items as an ndarray that owns its data."""
    cdef cnp.ndarray block = new_block(dtype, count)
    if count:  # else there may be no memory to copy from
        memcpy(cnp.PyArray_DATA(block), items, count * dtype.itemsize)
    return block


cdef cnp.ndarray copy_block_for_python(cnp.dtype dtype, const void *items, Py_ssize_t count):
    """A copy that Python code is going to get; a large one is copied without the GIL."""
    cdef Py_ssize_t nbytes = count * dtype.itemsize
    cdef cnp.ndarray block
    cdef void *data
    if nbytes < GIL_RELEASE_BYTES:
        return copy_block(dtype, items, count)
    block = new_block(dtype, count)
    data = cnp.PyArray_DATA(block)
    with nogil:
        memcpy(data, items, nbytes)
    return block


cdef cnp.ndarray view_block(cnp.dtype dtype, void *items, Py_ssize_t count, object owner, bint writeable):
    """An ndarray over `count` items in place; `owner` lives as long as it does."""
    cdef cnp.ndarray block = wrap(dtype, items, count, cnp.NPY_ARRAY_WRITEABLE if writeable else 0)
    cnp.set_array_base(block, owner)
    return block


cdef object item_of(cnp.dtype dtype, const void *item):
    """A copy of one item, as indexing an ndarray would give it."""
    if dtype.subarray == NULL:
        return PyArray_Scalar(<void *>item, dtype, NULL)  # no base: a record is a copy too
    return copy_block(dtype, item, 1)[0]


cdef bint is_like_block(object items, cnp.dtype dtype) noexcept:
    return is_alike(items, dtype, 1)


cdef bint is_like_item(object item, cnp.dtype dtype) noexcept:
    return is_alike(item, dtype, 0)


cdef bint is_alike(object items, cnp.dtype dtype, int ndim) noexcept:
    cdef cnp.ndarray array
    cdef cnp.dtype base
    cdef tuple shape
    cdef Py_ssize_t i
    if type(items) is not cnp.ndarray:
        return False
    array = <cnp.ndarray>items
    if not cnp.PyArray_IS_C_CONTIGUOUS(array):
        return False
    if dtype.subarray == NULL:
        return cnp.PyArray_NDIM(array) == ndim and same_type(array, dtype)
    base = dtype.base
    shape = dtype.shape
    if cnp.PyArray_NDIM(array) != ndim + len(shape) or not same_type(array, base):
        return False
    for i in range(len(shape)):
        if cnp.PyArray_DIM(array, <int>i + ndim) != <Py_ssize_t>shape[i]:
            return False
    return True


cdef inline bint same_type(cnp.ndarray array, cnp.dtype dtype) noexcept:
    cdef cnp.PyArray_Descr *descr = cnp.PyArray_DESCR(array)
    return descr == <cnp.PyArray_Descr *>dtype or PyArray_EquivTypes(descr, <cnp.PyArray_Descr *>dtype)


cdef list C_NUMBERS = [np.dtype(code) for code in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")]
cdef int DOUBLE = scalar_index(<double *>NULL)
cdef int FLOAT = scalar_index(<float *>NULL)


cdef int scalar_of(cnp.dtype dtype) except? -1:
    if not dtype.isnative or dtype not in C_NUMBERS:
        return -1
    return {"u": 0, "i": 4, "f": 8}[chr(dtype.kind)] + {1: 0, 2: 1, 4: 2, 8: 3}[dtype.itemsize]


cdef bint as_number(object item, int scalar, void *value) except -1:
    cdef int overflow = 0
    cdef long long whole
    if isinstance(item, float):
        if scalar == DOUBLE:
            (<double *>value)[0] = PyFloat_AS_DOUBLE(item)
            return True
        if scalar == FLOAT:
            (<float *>value)[0] = <float>PyFloat_AS_DOUBLE(item)
            return True
    elif type(item) is int and scalar >= 0:
        whole = PyLong_AsLongLongAndOverflow(item, &overflow)
        if overflow:
            return False
        if scalar == DOUBLE:
            (<double *>value)[0] = <double>whole
        elif scalar == FLOAT:
            (<float *>value)[0] = <float>whole
        elif scalar & 4:
            return narrow(whole, 1 << scalar % 4, value)
        elif whole < 0:
            return False
        else:
            return narrow_unsigned(whole, 1 << scalar % 4, value)
        return True
    return False


cdef bint narrow(long long whole, Py_ssize_t size, void *value) noexcept:
    """Store a signed integer of `size` bytes, if it fits."""
    if size == 8:
        (<long long *>value)[0] = whole
    elif size == 4 and whole == <int>whole:
        (<int *>value)[0] = <int>whole
    elif size == 2 and whole == <short>whole:
        (<short *>value)[0] = <short>whole
    elif size == 1 and whole == <signed char>whole:
        (<signed char *>value)[0] = <signed char>whole
    else:
        return False
    return True


cdef bint narrow_unsigned(unsigned long long whole, Py_ssize_t size, void *value) noexcept:
    """The same for an unsigned one."""
    if size == 8:
        (<unsigned long long *>value)[0] = whole
    elif size == 4 and whole == <unsigned int>whole:
        (<unsigned int *>value)[0] = <unsigned int>whole
    elif size == 2 and whole == <unsigned short>whole:
        (<unsigned short *>value)[0] = <unsigned short>whole
    elif size == 1 and whole == <unsigned char>whole:
        (<unsigned char *>value)[0] = <unsigned char>whole
    else:
        return False
    return True
