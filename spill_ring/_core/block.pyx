"""Blocks: runs of items of one dtype, as memory and as ndarrays.

What numpy would assign with ``casting="same_kind"`` becomes a block here, and nothing else does:
:func:`as_block` is the only place that knows the rule.
"""
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
        return cnp.PyArray_NDIM(array) == 1 and same_type(array, dtype)
    base = dtype.base
    shape = dtype.shape
    if cnp.PyArray_NDIM(array) != 1 + len(shape) or not same_type(array, base):
        return False
    for i in range(len(shape)):
        if cnp.PyArray_DIM(array, <int>i + 1) != <Py_ssize_t>shape[i]:
            return False
    return True


cdef inline bint same_type(cnp.ndarray array, cnp.dtype dtype) noexcept:
    cdef cnp.PyArray_Descr *descr = cnp.PyArray_DESCR(array)
    return descr == <cnp.PyArray_Descr *>dtype or PyArray_EquivTypes(descr, <cnp.PyArray_Descr *>dtype)


cdef cnp.ndarray as_block(object items, cnp.dtype dtype):
    """`items` as a C-contiguous block of `dtype`, cast as ``casting="same_kind"`` allows.

    TypeError for another kind, OverflowError for an integer out of range, ValueError for a shape
    that is not ``(n,) + dtype.shape``. A block is returned as it is, anything else is copied.
    """
    if is_block(items, dtype):
        return items
    if not isinstance(items, (list, tuple)) and np.ndim(items) == 0:
        raise TypeError(f"expected a sequence of {dtype} items, not {type(items).__name__} {items!r}")
    return convert(items, dtype, 1)


cdef cnp.ndarray as_item(object item, cnp.dtype dtype):
    """One item as a block; the same rule and the same errors."""
    return convert(item, dtype, 0)


cdef bint is_array_like(object items):
    """Does numpy read this as an array, rather than as one object?"""
    if isinstance(items, (list, tuple, np.ndarray)) or hasattr(items, "__array__"):
        return True
    if isinstance(items, (dict, set, frozenset)):
        return False
    return hasattr(items, "__len__") and hasattr(items, "__getitem__")


cdef cnp.ndarray convert(object items, cnp.dtype dtype, int ndim):
    cdef cnp.dtype base = dtype.base
    cdef tuple shape = dtype.shape
    cdef bint is_array = isinstance(items, (np.ndarray, np.generic)) or hasattr(items, "__array__")
    if ndim == 0 and not is_array and base.kind in "V" and not isinstance(items, (tuple, bytes, list)):
        raise TypeError(f"an item of dtype {dtype} is a tuple or one of numpy's own, not {items!r}")
    array = np.asarray(items, dtype=None if is_array else from_python(items, base))
    if ndim == 1 and not is_array and array.size == 0 and array.ndim <= 1:
        return new_block(dtype, 0)  # an empty list has no dtype of its own
    if array.ndim != ndim + len(shape) or array.shape[ndim:] != shape:
        wanted = ("n",) * ndim + shape
        raise ValueError(
            f"expected shape ({', '.join(map(str, wanted))}{',' if len(wanted) == 1 else ''}) "
            f"for items of dtype {dtype}, not {array.shape}"
        )
    if array.dtype.kind == "O" and not is_array and base.kind in "fc" and all_ints(array):
        array = np.asarray(items, dtype=base)  # ints that no integer dtype holds
    check_cast(items, array, base, is_array)
    if ndim == 0:
        array = array[np.newaxis]
    return np.ascontiguousarray(array.astype(base, copy=False))


cdef object from_python(object items, cnp.dtype base):
    """The dtype to read Python objects with: None lets numpy find it."""
    if base.kind in "VMm":
        # Records are tuples, and times may be datetime objects: both mean something only when
        # read as what they are to be, and numpy raises for what isn't.
        return base
    return None


cdef int check_cast(object items, object array, cnp.dtype base, bint is_array) except -1:
    """May numpy assign `array`, read from `items`, to `base` without loss of kind or of range?"""
    cdef cnp.dtype source = array.dtype
    cdef bint allowed = np.can_cast(source, base, "same_kind")
    if base.kind in "iu":
        # A Python int has no width and fits wherever its value does; of an array the dtype counts.
        if source.kind in "iu" and (allowed or not is_array):
            check_range(base, array.min(initial=0), array.max(initial=0))
            return 0
        if source.kind in "fO" and not is_array:
            # numpy makes floats or objects of ints that no one integer dtype holds
            values = np.asarray(items, dtype=object)
            if all_ints(values):
                check_range(base, values.min(), values.max())
    if not allowed:
        raise TypeError(
            f"cannot cast {source!r} to {base!r} with casting='same_kind'; convert it first, as with .astype()"
        )
    return 0


cdef bint all_ints(object array) except -1:
    return all(isinstance(value, int) for value in array.ravel().tolist())


cdef int check_range(cnp.dtype base, object low, object high) except -1:
    info = np.iinfo(base)
    for value in (int(low), int(high)):
        if not info.min <= value <= info.max:
            raise OverflowError(f"{value} is out of range for dtype {base}: {info.min} to {info.max}")
    return 0


cdef object as_destination(object out, cnp.dtype dtype):
    try:
        array = np.asarray(out, copy=False)
    except ValueError:
        raise TypeError(f"out must be an ndarray or a writable buffer, not {type(out).__name__}") from None
    if not array.flags.writeable:
        raise ValueError("out is read-only")
    if array.ndim == 0 or array.shape[1:] != dtype.shape:
        raise ValueError(f"out has shape {array.shape}; expected (n,) + {dtype.shape} for items of dtype {dtype}")
    if array.shape[0] == 0:
        raise ValueError("out is too small: it has no room for a single item")
    return array


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
