"""What a user gives as items, as items of a dtype: the only place that knows what may become what.

It is what numpy would assign with ``casting="same_kind"``, as long as the value stays the same. numpy itself cuts text
that is too long, drops what is finer than a time's unit, lets times wrap around, makes integers of fractions, forgets
masks, and matches fields by their place; in here each of these is an error, however deep in a record it happens.
"""
cimport numpy as cnp
from cpython.buffer cimport PyObject_CheckBuffer
from libc.string cimport memcpy, memset

from spill_ring._core.block cimport as_number, is_block, is_like_item, new_block, scalar_of

import datetime

import numpy as np

cnp.import_array()


cdef extern from "numpy/arrayobject.h":
    object PyArray_FromScalar(object scalar, cnp.PyArray_Descr *dtype)


cdef type GENERIC = np.generic
cdef tuple NUMBERS = (np.number, np.bool_)
cdef tuple OF_BYTES = (bytes, bytearray, memoryview)
cdef frozenset PLAIN_TYPES = frozenset([bool, int, float, complex])


cdef cnp.ndarray as_block(object items, cnp.dtype dtype):
    """`items` as a C-contiguous block of `dtype`, cast as ``casting="same_kind"`` allows, if nothing is lost.

    OverflowError for a number or time out of range, ValueError for a shape that is not ``(n,) + dtype.shape``,
    TypeError for all else. A block is returned as it is, anything else is copied.
    """
    if is_block(items, dtype):
        return items
    if isinstance(items, (list, tuple)):
        return block_of(tuple(items), dtype)  # nobody can change a tuple meanwhile
    if is_array(items):
        return block_of_array(items, dtype, 1, hasattr(items, "__array__"))
    if isinstance(items, str) or not is_array_like(items):
        raise TypeError(f"expected a sequence of {dtype} items, not {type(items).__name__} {items!r}")
    return block_of(tuple(items), dtype)


cdef int store_item(object item, cnp.dtype dtype, char *out) except -1:
    """One item, into memory of any alignment; the same rule and the same errors."""
    if isinstance(item, (tuple, list, str)) or not is_array(item) or isinstance(item, OF_BYTES):
        return layout_of(dtype).store(item, out)
    return store_array(item, dtype, out, hasattr(item, "__array__"))


cdef int store_array(object item, cnp.dtype dtype, char *out, bint counts_dtype) except -1:
    if is_like_item(item, dtype):
        block = item
    elif isinstance(item, GENERIC) and item.dtype == dtype:
        block = PyArray_FromScalar(item, NULL)
    else:
        block = block_of_array(item, dtype, 0, counts_dtype)
    memcpy(out, cnp.PyArray_DATA(<cnp.ndarray>block), dtype.itemsize)
    return 0


cdef bint is_array_like(object items):
    """Does numpy read this as an array, rather than as one object?"""
    if isinstance(items, (list, tuple, np.ndarray)) or hasattr(items, "__array__"):
        return True
    if isinstance(items, (dict, set, frozenset)):
        return False
    return hasattr(items, "__len__") and hasattr(items, "__getitem__")


cdef bint is_array(object items):
    """Has it a dtype already, so that numpy need not look at each item?"""
    return (
        isinstance(items, (cnp.ndarray, GENERIC)) or PyObject_CheckBuffer(items) or hasattr(items, "__array__")
        or hasattr(items, "__array_interface__")
    )


# -- arrays --------------------------------------------------------------------------------------------

cdef cnp.ndarray block_of_array(object items, cnp.dtype dtype, int ndim, bint counts_dtype):
    """A block of an array of one item (`ndim` 0) or of items; `cast_array` explains `counts_dtype`."""
    array = unmasked(items)
    if ndim == 1 and array.ndim == 0:
        raise TypeError(f"expected a sequence of {dtype} items, not {type(items).__name__} {items!r}")
    if ndim == 1 and array.shape == (0,) and array.dtype == np.float64:
        return new_block(dtype, 0)  # np.array([]), whose dtype says nothing
    require_shape(array.shape, dtype, ndim)
    array = cast_array(array, dtype.base, counts_dtype)
    return np.ascontiguousarray(array[np.newaxis] if ndim == 0 else array)


cdef object unmasked(object items):
    """An array as a plain ndarray, or an error if a part of it is masked."""
    if isinstance(items, np.ndarray) and isinstance(items, np.ma.MaskedArray):
        mask = np.ma.getmask(items)
        if mask is not np.ma.nomask and np.any(np.ascontiguousarray(mask).view(np.bool_)):
            raise TypeError(f"{items!r} is masked, and a ring keeps no mask: fill it first, as with .filled()")
    return np.asarray(items)


cdef int require_shape(tuple found, object dtype, int ndim) except -1:
    if len(found) != ndim + len(dtype.shape) or found[ndim:] != dtype.shape:
        wanted = ("n",) * ndim + dtype.shape
        raise ValueError(
            f"expected shape ({', '.join(map(str, wanted))}{',' if len(wanted) == 1 else ''}) "
            f"for items of dtype {dtype}, not {found}"
        )
    return 0


cdef object cast_items(object array, object dtype):
    return cast_array(array, dtype, True)


cdef object cast_array(object array, object dtype, bint counts_dtype):
    """`array` as one of `dtype`, which has no dimensions of its own.

    `counts_dtype`: of integers the dtype must fit too. A Python int has none, and fits wherever its value does.
    """
    source = array.dtype
    kind = dtype.kind
    if source == dtype:
        return array
    if dtype.names is not None:
        return cast_records(array, dtype, counts_dtype)
    is_integer = kind in "iu" and source.kind in "iu"
    if source.names is not None or source.hasobject and source.kind != "T" or not (
        is_integer and not counts_dtype or np.can_cast(source, dtype, "same_kind")
    ):
        raise_kind(array, dtype)
    if is_integer:
        require_range(array, dtype)
    elif kind in "SU":
        return cast_text(array, dtype)
    elif kind in "mM":
        return cast_times(array, dtype)
    elif dtype.type is np.void and (source.kind not in "VS" or source.itemsize != dtype.itemsize):
        raise TypeError(f"{first_of(array)!r} of {source!r} is no item of {dtype!r}, which are {dtype.itemsize} bytes")
    return array.astype(dtype)


cdef int raise_kind(object array, object dtype) except -1:
    raise TypeError(
        f"cannot cast {first_of(array)!r} from {array.dtype!r} to {dtype!r} with casting='same_kind'; convert first, "
        "as with .astype()"
    )


cdef object first_of(object array):
    return array.reshape(-1)[0] if array.size else array


cdef object cast_records(object array, object dtype, bint counts_dtype):
    """Field by field. numpy would match them by place, also where they have other names."""
    if array.dtype.names != dtype.names:
        raise TypeError(
            f"{first_of(array)!r} of {array.dtype!r} is no record of {dtype!r}: the fields must have the same names in "
            "the same order"
        )
    made = np.zeros(array.shape, dtype)
    for name in dtype.names:
        field = dtype[name]
        part = array[name]
        try:
            require_shape(part.shape[array.ndim:], field, 0)
            made[name] = cast_array(part, field.base, counts_dtype)
        except Exception as error:
            error.add_note(f"in the field {name!r}")
            raise
    return made


cdef int require_range(object array, object dtype) except -1:
    cdef object value
    info = np.iinfo(dtype)
    for value in (int(array.min(initial=0)), int(array.max(initial=0))):
        if not info.min <= value <= info.max:
            raise OverflowError(f"{value} is out of range for dtype {dtype}: {info.min} to {info.max}")
    return 0


cdef object cast_text(object array, object dtype):
    """Text, or numbers as text, which numpy would cut where it is too long."""
    cdef Py_ssize_t limit = dtype.itemsize // (4 if dtype.kind == "U" else 1)
    text = array if array.dtype.kind in "SUT" else array.astype(dtype.kind)
    cast = text.astype(dtype)
    cut = np.strings.str_len(cast) != np.strings.str_len(text)
    if cut.any():
        raise_long(first_of(array[cut]), dtype, limit)
    return cast


cdef int raise_long(object value, object dtype, Py_ssize_t limit) except -1:
    raise TypeError(f"{value!r} is longer than the {limit} of {dtype!r}; cut it yourself, or take a longer dtype")


cdef object cast_times(object array, object dtype):
    """Times of another unit, or integers as time spans. numpy drops what is finer, and wraps around at the end."""
    source = array.dtype
    if source.kind in "iub":
        require_time_range(int(array.min(initial=0)), dtype)
        require_time_range(int(array.max(initial=0)), dtype)
        return array.astype("i8").astype(dtype)
    cast = array.astype(dtype)
    lost = (cast.astype(source) != array) & ~np.isnat(array) | np.isnat(cast) & ~np.isnat(array)
    if lost.any():
        value = first_of(array[lost])
        if np.can_cast(source, dtype, "safe"):  # the unit is as fine
            raise OverflowError(f"{value!r} is out of range for {dtype!r}")
        raise TypeError(f"{value!r} is no whole number of the unit of {dtype!r}; round it first, as with .astype()")
    return cast


cdef int require_time_range(object value, object dtype) except -1:
    if not -(2**63) < value < 2**63:  # the lowest is NaT
        raise OverflowError(f"{value} is out of range for {dtype!r}: {1 - 2**63} to {2**63 - 1}")
    return 0


# -- Python objects -------------------------------------------------------------------------------------

cdef cnp.ndarray block_of(tuple items, cnp.dtype dtype):
    """A block of Python objects: numbers without numpy, others by numpy at once if they are plain, else one by one."""
    cdef Layout layout = layout_of(dtype)
    cdef cnp.ndarray block = new_block(dtype, len(items))
    cdef char *out = <char *>cnp.PyArray_DATA(block)
    cdef Py_ssize_t i
    if layout.is_number:
        for i in range(len(items)):
            if not layout.store_plain(items[i], out + i * layout.size):
                break
        else:
            return block
        if are_plain(items, len(dtype.shape)):
            array = np.asarray(items)
            # numpy makes floats or objects of ints that no one integer dtype holds: those are read one by one.
            if array.dtype.kind != "O" and (array.dtype.kind != "f" or dtype.base.kind not in "iu"):
                require_shape(array.shape, dtype, 1)
                return np.ascontiguousarray(cast_array(array, dtype.base, False))
    for i in range(len(items)):
        layout.store(items[i], out + i * layout.size)
    return block


cdef bint are_plain(object items, Py_ssize_t depth):
    """Are these numbers, or sequences of such in `depth` dimensions, that numpy reads without changing one?"""
    for item in items:
        if type(item) in PLAIN_TYPES or isinstance(item, NUMBERS):
            continue
        if type(item) is cnp.ndarray:
            if not cnp.PyTypeNum_ISNUMBER(cnp.PyArray_TYPE(item)):
                return False
        elif not isinstance(item, (list, tuple)) or depth == 0 or not are_plain(item, depth - 1):
            return False
    return True


cdef object cast_number(object value, object array, object dtype):
    """The `array` that numpy read from one Python object as a number of `dtype`."""
    if array.dtype.kind == "O" and isinstance(value, int) and dtype.kind in "iufc":  # no integer dtype holds it
        if dtype.kind in "iu":
            require_range(array, dtype)
        return array.astype(dtype)
    return cast_array(array, dtype, False)


cdef class Layout:
    """Where the parts of an item lie, so that Python objects can be stored there one by one."""

    cdef cnp.dtype dtype
    cdef Py_ssize_t size
    cdef Py_ssize_t width  # of a character of text or bytes; else 0
    cdef int scalar  # of a plain C number: its `scalar_index`; else -1
    cdef bint is_swapped  # in the other byte order
    cdef bint is_number  # or an array of numbers, of any type
    cdef Layout element  # of an array; else None
    cdef Py_ssize_t length  # its elements
    cdef tuple fields  # the Layout of each field of a record; else None
    cdef tuple offsets  # of the fields

    cdef bint store_plain(self, object value, char *out) except -1:
        """Store a number, or a list of such, without numpy. False: that isn't what it is."""
        cdef long long number
        cdef Py_ssize_t i
        cdef tuple values
        if self.element is None:
            if not as_number(value, self.scalar, &number):
                return False
            memcpy(out, &number, self.size)
            return True
        if not isinstance(value, (list, tuple)):
            if not is_like_item(value, self.dtype):
                return False
            memcpy(out, cnp.PyArray_DATA(<cnp.ndarray>value), self.size)
            return True
        values = tuple(value)
        if len(values) != self.length:
            return False
        for i in range(self.length):
            if not self.element.store_plain(values[i], out + i * self.element.size):
                return False
        return True

    cdef int store(self, object value, char *out) except -1:
        """Store any Python object that may become such an item."""
        cdef long long number
        if self.element is not None:
            return self.store_elements(value, out)
        if self.fields is not None:
            return self.store_fields(value, out)
        if as_number(value, self.scalar, &number):
            memcpy(out, &number, self.size)
            return 0
        if self.width and isinstance(value, (str, bytes)):
            return self.store_text(value, out)
        return store_other(value, self.dtype, out)

    cdef int store_elements(self, object value, char *out) except -1:
        cdef Py_ssize_t i
        cdef tuple values
        if not isinstance(value, (list, tuple)):
            if is_array(value):
                return store_array(value, self.dtype, out, False)
            if isinstance(value, str) or not is_array_like(value):
                require_shape((), self.dtype, 0)
        values = tuple(value)
        if len(values) != self.length:
            raise ValueError(
                f"expected {self.length} values for an item of dtype {self.dtype}, not {len(values)}: {value!r}"
            )
        for i in range(self.length):
            self.element.store(values[i], out + i * self.element.size)
        return 0

    cdef int store_fields(self, object value, char *out) except -1:
        cdef Layout field
        cdef Py_ssize_t i = 0
        if not isinstance(value, tuple):
            if isinstance(value, (cnp.ndarray, GENERIC)):
                return store_array(value, self.dtype, out, False)
            raise TypeError(f"an item of dtype {self.dtype} is a tuple or one of numpy's own, not {value!r}")
        if len(<tuple>value) != len(self.fields):
            raise ValueError(f"expected {len(self.fields)} fields for an item of dtype {self.dtype}, not {value!r}")
        memset(out, 0, self.size)  # what lies between the fields
        try:
            for i in range(len(self.fields)):
                field = <Layout>self.fields[i]
                field.store((<tuple>value)[i], out + <Py_ssize_t>self.offsets[i])
        except Exception as error:
            error.add_note(f"in the field {(<object>self.dtype).names[i]!r}")
            raise
        return 0

    cdef int store_text(self, object value, char *out) except -1:
        cdef unsigned int character
        cdef Py_ssize_t i
        cdef Py_ssize_t limit = self.size // self.width
        cdef Py_ssize_t length = len(value)
        if isinstance(value, str) and self.width == 1:
            raise TypeError(
                f"cannot cast {value!r} from text to {self.dtype!r} with casting='same_kind'; encode it first"
            )
        if length > limit:
            raise_long(value, self.dtype, limit)
        if self.width == 1:
            memcpy(out, <char *><bytes>value, length)
        else:
            text = value if isinstance(value, str) else value.decode("ascii")
            for i in range(length):
                character = <unsigned int>ord((<str>text)[i])
                if self.is_swapped:
                    character = character << 24 | (character & 0xff00) << 8 | character >> 8 & 0xff00 | character >> 24
                memcpy(out + i * 4, &character, 4)
        memset(out + length * self.width, 0, self.size - length * self.width)
        if length and value[length - 1] in ("\0", 0):
            raise TypeError(f"{value!r} ends in a zero, which {self.dtype!r} can't keep")
        return 0


cdef dict layouts = {}  # by dtype


cdef Layout layout_of(cnp.dtype dtype):
    cdef Layout layout = layouts.get(dtype)
    if layout is None:
        layout = new_layout(dtype)
        if len(layouts) >= 1024:
            layouts.clear()
        layouts[dtype] = layout
    return layout


cdef Layout new_layout(object dtype):
    cdef Layout layout = Layout.__new__(Layout)
    layout.dtype = dtype
    layout.size = dtype.itemsize
    layout.width = {"S": 1, "U": 4}.get(dtype.kind, 0)
    layout.is_swapped = not dtype.isnative
    layout.scalar = -1
    layout.is_number = dtype.base.kind in "biufc"
    if dtype.subdtype is not None:
        layout.length = dtype.shape[0]
        layout.element = new_layout(np.dtype((dtype.base, dtype.shape[1:])))
    elif dtype.names is not None:
        layout.fields = tuple([new_layout(dtype.fields[name][0]) for name in dtype.names])
        layout.offsets = tuple([dtype.fields[name][1] for name in dtype.names])
    else:
        layout.scalar = scalar_of(dtype)
    return layout


cdef int store_other(object value, object dtype, char *out) except -1:
    """Store what is no plain C number."""
    cdef cnp.ndarray made
    if type(value) is bool and dtype == np.bool_:
        out[0] = value is True
    elif is_array(value) and not isinstance(value, OF_BYTES):
        store_array(value, dtype, out, False)
    else:
        made = np.ascontiguousarray(read_other(value, dtype))
        memcpy(out, cnp.PyArray_DATA(made), dtype.itemsize)
    return 0


cdef object read_other(object value, object dtype):
    """One Python object as an array of no dimensions."""
    if isinstance(value, (list, tuple)):
        require_shape(np.shape(value), dtype, 0)
    if dtype.kind in "mM":
        return cast_array(read_time(value, dtype), dtype, False)
    if dtype.type is np.void:
        if not isinstance(value, OF_BYTES):
            raise TypeError(f"an item of dtype {dtype} is bytes or one of numpy's own, not {value!r}")
        value = bytes(value)
        if len(value) != dtype.itemsize:
            raise TypeError(f"an item of {dtype!r} is {dtype.itemsize} bytes, not the {len(value)} of {value!r}")
        return np.frombuffer(value, dtype).reshape(())
    if dtype.kind == "V":  # a type that another package has made: only it knows what it may be made of
        return np.asarray(value, dtype=dtype)
    array = np.asarray(value)
    require_shape(array.shape, dtype, 0)
    return cast_number(value, array, dtype)


cdef object read_time(object value, object dtype):
    """A time in the unit that it comes with, which `cast_times` then compares with that of `dtype`."""
    if isinstance(value, int):
        require_time_range(value, dtype)
        return np.asarray(value, dtype=dtype)
    if isinstance(value, bytes):
        value = value.decode("ascii")
    if value is not None and not isinstance(value, (str, datetime.date, datetime.timedelta)):
        raise TypeError(f"{value!r} is no time for {dtype!r}: give one of numpy's, of datetime's, text or an integer")
    if getattr(value, "tzinfo", None) is not None or isinstance(value, str) and has_zone(value):
        raise TypeError(
            f"{value!r} has a time zone, which {dtype!r} can't keep: give it in UTC and without one, as with "
            ".astimezone(timezone.utc).replace(tzinfo=None)"
        )
    array = np.asarray(value, dtype=dtype.kind + "8")
    if isinstance(value, datetime.timedelta) and array.item() != value:
        raise OverflowError(f"{value!r} is out of range for {dtype!r}")
    return array


cdef bint has_zone(str text):
    """Does a text that numpy may read as a time name a zone, after the hour?"""
    start = max(text.find("T"), text.find(" "))
    return start > 0 and any([sign in text[start:] for sign in "Zz+-"])


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
