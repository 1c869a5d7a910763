"""Plans of single values: numbers, text, bytes, and whatever else has no other values in it.

A type is made into a `Plan` once, which writes and reads values without looking at the type again. Items are
converted for numpy by `_core`, as in the rings.
"""
cimport cython
cimport numpy as cnp
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AsDouble, PyFloat_Check
from cpython.long cimport PyLong_AsUnsignedLongLong, PyLong_CheckExact
from cpython.mem cimport PyMem_Realloc
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.string cimport memcpy

from spill_ring._core.block cimport item_dtype, item_of
from spill_ring._core.conversion cimport store_item
from spill_ring._core.cpython cimport (
    PY_BIG_ENDIAN, PY_SSIZE_T_MAX, PyFloat_AS_DOUBLE, PyFloat_Pack2, PyFloat_Pack4, PyFloat_Unpack2,
    PyLong_AsLongLongAndOverflow,
)

import operator
import types
import typing

import numpy as np

from spill_ring.serialization.errors import InvalidData, UnexpectedEnd

cnp.import_array()


cdef extern from "numpy/arrayobject.h":
    void PyArray_ScalarAsCtype(object scalar, void *out)


cdef enum:
    LENGTH_BYTES = 5


# -- what plans write to, and read from ----------------------------------------------------------------

cdef int grow(Writer *out, Py_ssize_t count) except -1:
    """Allocate memory for `count` more bytes."""
    cdef Py_ssize_t size
    cdef char *grown
    if count > PY_SSIZE_T_MAX // 2 - out.allocated:
        raise MemoryError(f"no memory for {count} bytes more than {out.size}")
    size = 2 * out.allocated + count
    grown = <char *>PyMem_Realloc(out.owned, size)
    if grown == NULL:
        raise MemoryError(f"no memory for {count} bytes more than {out.size}")
    if out.owned == NULL:
        memcpy(grown, out.data, out.size)
    out.data = out.owned = grown
    out.allocated = size
    return 0


cdef int write_long_length(Py_ssize_t length, Writer *out) except -1:
    if <long long>length >> 7 * LENGTH_BYTES:  # 35 bits, more than a Py_ssize_t may have
        raise ValueError(f"a length of {length} takes more than {LENGTH_BYTES} bytes")
    while length >= 0x80:
        add_bytes(out, 1)[0] = <char>(length & 0x7F | 0x80)
        length >>= 7
    add_bytes(out, 1)[0] = <char>length
    return 0


cdef Py_ssize_t read_long_length(Reader *data) except -1:
    cdef long long length = 0
    cdef int i
    cdef unsigned char byte
    for i in range(LENGTH_BYTES):
        byte = <unsigned char>next_bytes(data, 1)[0]
        length |= <long long>(byte & 0x7F) << 7 * i
        if byte < 0x80:
            if byte == 0 and i:
                raise InvalidData(f"a length of {length} in {i + 1} bytes, where fewer do")
            if length > PY_SSIZE_T_MAX:  # A machine of 32 bits holds no such data.
                raise UnexpectedEnd(length, data.end - data.at)
            return <Py_ssize_t>length
    raise InvalidData(f"a length of more than {LENGTH_BYTES} bytes")


cdef int raise_end(Py_ssize_t needed, Py_ssize_t available) except -1:
    raise UnexpectedEnd(needed, available)


cdef int raise_flag(unsigned char found, str what) except -1:
    raise InvalidData(f"{what} of {found}, which must be 0 or 1")


cdef int raise_nested(bint is_writing) except -1:
    raise (RecursionError if is_writing else InvalidData)(f"values nested more than {MAX_DEPTH} deep")


# -- plans ---------------------------------------------------------------------------------------------

cdef class Plan:
    """How values of one type are written and read. A plan never changes, so any number of threads may use it."""

    def __cinit__(self):
        self.size = -1

    cdef int write(self, object value, Writer *out) except -1:
        cdef char *place = add_bytes(out, self.size)
        self.store(value, place)
        if PY_BIG_ENDIAN:
            self.swap(place)
        return 0

    cdef object read(self, Reader *data):
        cdef const char *place = next_bytes(data, self.size)
        cdef bytes swapped
        if PY_BIG_ENDIAN:
            swapped = place[:self.size]
            place = PyBytes_AS_STRING(swapped)
            self.swap(<char *>place)
        if self.is_checked:
            self.check(place)
        return self.load(place)

    cdef int store(self, object value, char *out) except -1:
        raise TypeError(f"there are no values of {self.type}")

    cdef object load(self, const char *data):
        raise InvalidData(f"there are no values of {self.type}")

    cdef int check(self, const char *data) except -1:
        return 0

    cdef Py_ssize_t find_min_size(self):
        """The least bytes that any value takes, as far as the parts are known: never too many."""
        return self.size

    cdef int swap(self, char *data) noexcept:
        cdef Py_ssize_t unit, count, j
        for unit, count in self.units:
            for _ in range(count):
                for j in range(unit // 2):
                    data[j], data[unit - 1 - j] = data[unit - 1 - j], data[j]
                data += unit
        return 0

    def __repr__(self):
        return f"<{type(self).__name__} of {self.type}>"


cdef class NonePlan(Plan):
    """None."""

    cdef int store(self, object value, char *out) except -1:
        if value is not None:
            raise TypeError(f"expected None, not {value!r}")
        return 0

    cdef object load(self, const char *data):
        return None


cdef class NeverPlan(Plan):
    """The elements of an empty list: there are no values."""

    cdef int write(self, object value, Writer *out) except -1:
        return self.store(value, NULL)

    cdef object read(self, Reader *data):
        return self.load(NULL)

    cdef Py_ssize_t find_min_size(self):
        return 1


cdef enum:
    BOOL
    I1
    I2
    I4
    I8
    U1
    U2
    U4
    U8
    F2
    F4
    F8

cdef dict CODES = {
    np.dtype(name): code
    for name, code in zip(
        ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"],
        [BOOL, I1, I2, I4, I8, U1, U2, U4, U8, F2, F4, F8],
    )
}


@cython.final
cdef class NumberPlan(Plan):
    """A bool, integer or float of a fixed width, as numpy's or as Python's."""

    cdef int code
    cdef bint gives_numpy

    cdef int store(self, object value, char *out) except -1:
        cdef double real
        if self.code == BOOL:
            if value is not True and value is not False and not isinstance(value, np.bool_):
                raise TypeError(f"expected True or False, not {value!r}")
            out[0] = <bint>value
        elif self.gives_numpy and type(value) is self.type:
            PyArray_ScalarAsCtype(value, out)
        elif self.code < F2:
            self.store_integer(value, out)
        else:
            if PyFloat_Check(value):
                real = PyFloat_AS_DOUBLE(value)
            elif isinstance(value, (int, np.integer, np.floating)):
                real = PyFloat_AsDouble(value)
            else:
                raise TypeError(f"expected a number for {self.dtype}, not {value!r}")
            if self.code == F8:
                memcpy(out, &real, 8)
            elif self.code == F4:
                PyFloat_Pack4(real, out, not PY_BIG_ENDIAN)
            else:
                PyFloat_Pack2(real, out, not PY_BIG_ENDIAN)
        return 0

    cdef int store_integer(self, object value, char *out) except -1:
        cdef int overflow = 0
        cdef long long whole
        cdef unsigned long long large
        cdef long long half = <long long>1 << min(8 * self.size - 1, 62)
        cdef bint fits
        if not PyLong_CheckExact(value):
            try:
                value = operator.index(value)
            except TypeError:
                raise TypeError(f"expected an integer for {self.dtype}, not {value!r}") from None
        whole = PyLong_AsLongLongAndOverflow(value, &overflow)
        if self.code == I8:
            fits = overflow == 0
        elif self.code == U8:
            fits = overflow == 0 and whole >= 0
            if overflow > 0:
                try:
                    large = PyLong_AsUnsignedLongLong(value)
                except OverflowError:
                    large = 0
                fits = large != 0
                whole = <long long>large
        elif self.code < U1:
            fits = overflow == 0 and -half <= whole < half
        else:
            fits = overflow == 0 and 0 <= whole < 2 * half
        if not fits:
            info = np.iinfo(self.dtype)
            raise OverflowError(f"{value} is out of range for {self.dtype}: {info.min} to {info.max}")
        # the low bytes, which a machine of the other byte order has at the other end
        memcpy(out, <char *>&whole + (8 - self.size if PY_BIG_ENDIAN else 0), self.size)
        return 0

    cdef object load(self, const char *data):
        cdef double real
        cdef float single
        cdef long long whole = 0
        cdef int shift
        if self.gives_numpy:
            return item_of(self.dtype, data)
        if self.code == F8:
            memcpy(&real, data, 8)
            return real
        if self.code == BOOL:
            return data[0] != 0
        if self.code == F4:
            memcpy(&single, data, 4)
            return <double>single
        if self.code == F2:
            return PyFloat_Unpack2(data, not PY_BIG_ENDIAN)
        memcpy(<char *>&whole + (8 - self.size if PY_BIG_ENDIAN else 0), data, self.size)
        if self.code >= U1:
            return <unsigned long long>whole
        shift = 64 - 8 * self.size
        return <long long>(<unsigned long long>whole << shift) >> shift

    cdef int check(self, const char *data) except -1:
        if self.code == BOOL:
            read_flag(data, "a bool")
        return 0


@cython.final
cdef class ItemPlan(Plan):
    """All other items that numpy keeps in a fixed size: sub-arrays, bytes, text, complex numbers, times."""

    cdef bint gives_numpy
    cdef bint has_bools

    cdef int store(self, object value, char *out) except -1:
        cdef cnp.dtype base = self.dtype.base
        if base.kind in "SU" and self.dtype.subdtype is None:
            # numpy would cut a longer value, and can't tell zeros at its end from padding.
            if not isinstance(value, bytes if base.kind == "S" else str):
                raise TypeError(f"expected {'bytes' if base.kind == 'S' else 'text'} for {base}, not {value!r}")
            limit = base.itemsize if base.kind == "S" else base.itemsize // 4
            if len(value) > limit:
                raise ValueError(f"{value!r} is longer than the {limit} of {base}")
            if value and not value[-1:].strip(b"\0" if base.kind == "S" else "\0"):
                raise ValueError(f"{value!r} ends in a zero, which {base} can't keep")
        store_item(value, self.dtype, out)
        return self.check(out)  # A view() can make a numpy bool of any byte.

    cdef object load(self, const char *data):
        value = item_of(self.dtype, data)
        return value if self.gives_numpy else value.item()

    cdef int check(self, const char *data) except -1:
        cdef Py_ssize_t i
        if self.has_bools:
            for i in range(self.size):
                read_flag(data + i, "a bool")
        elif self.dtype.base.kind == "U":
            for i in range(0, self.size, 4):
                check_character(data + i)
        return 0


cdef int check_character(const char *data) except -1:
    cdef unsigned int character
    memcpy(&character, data, 4)
    if character > 0x10FFFF:
        raise InvalidData(f"a character of {character:#x}, which is none of Unicode's")
    return 0


cdef class SizedPlan(Plan):
    """Values with their length in front."""

    cdef int write_bytes(self, const char *data, Py_ssize_t count, Writer *out) except -1:
        write_length(count, out)
        memcpy(add_bytes(out, count), data, count)
        return 0

    cdef Py_ssize_t find_min_size(self):
        return 1


@cython.final
cdef class TextPlan(SizedPlan):
    cdef int write(self, object value, Writer *out) except -1:
        cdef const char *data
        cdef Py_ssize_t size
        if not isinstance(value, str):
            raise TypeError(f"expected a str, not {value!r}")
        data = PyUnicode_AsUTF8AndSize(value, &size)
        return self.write_bytes(data, size, out)

    cdef object read(self, Reader *data):
        cdef Py_ssize_t size = read_length(data)
        cdef const char *text = next_bytes(data, size)
        try:
            return PyUnicode_DecodeUTF8(text, size, NULL)
        except UnicodeDecodeError as error:
            raise InvalidData(f"text that is not UTF-8: {error}") from None


@cython.final
cdef class BytesPlan(SizedPlan):
    cdef int write(self, object value, Writer *out) except -1:
        if not isinstance(value, bytes):
            raise TypeError(f"expected bytes, not {value!r}")
        return self.write_bytes(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), out)

    cdef object read(self, Reader *data):
        cdef Py_ssize_t size = read_length(data)
        return PyBytes_FromStringAndSize(next_bytes(data, size), size)


@cython.final
cdef class CustomPlan(SizedPlan):
    """A class with `to_bytes`, `from_bytes` or both."""

    cdef int write(self, object value, Writer *out) except -1:
        if type(value) is not self.type:
            raise TypeError(f"expected a {self.type.__name__}, not {value!r}")
        if not defines(self.type, "to_bytes"):
            raise TypeError(f"{self.type.__name__} has from_bytes, but no to_bytes to write it")
        data = value.to_bytes()
        if not isinstance(data, bytes):
            raise TypeError(f"{self.type.__name__}.to_bytes must return bytes, not {data!r}")
        return self.write_bytes(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), out)

    cdef object read(self, Reader *data):
        cdef Py_ssize_t size = read_length(data)
        cdef const char *place = next_bytes(data, size)
        if not defines(self.type, "from_bytes"):
            raise TypeError(f"{self.type.__name__} has to_bytes, but no from_bytes to read it")
        return self.type.from_bytes(place[:size])


# -- from types to plans -------------------------------------------------------------------------------

cdef dict NUMPY_DTYPES = {np.dtype(code).type: np.dtype(code) for code in "?bBhHiIlLqQefdFD"}
cdef dict PYTHON_TYPES = {"b": bool, "i": int, "u": int, "f": float, "c": complex, "S": bytes, "U": str}


cdef Plan leaf_plan(object hint):
    """The plan of a type with no others in it; None of any other type."""
    cdef Plan plan
    if hint is types.NoneType:
        plan = NonePlan.__new__(NonePlan)
        plan.size, plan.units = 0, ()
        return plan
    if hint is typing.Never:
        return NeverPlan.__new__(NeverPlan)
    if hint is str:
        return TextPlan.__new__(TextPlan)
    if hint is bytes:
        return BytesPlan.__new__(BytesPlan)
    if hint is bool or hint is int or hint is float:
        return item_plan(np.dtype(hint if hint is not int else "i8"), False)
    if typing.get_origin(hint) is typing.Annotated:
        args = typing.get_args(hint)
        return annotated_plan(args[0], args[1])
    if not isinstance(hint, type):
        return None
    if hint in NUMPY_DTYPES:
        return item_plan(NUMPY_DTYPES[hint], True)
    if defines(hint, "to_bytes") or defines(hint, "from_bytes"):
        return CustomPlan.__new__(CustomPlan)
    return None


cdef bint defines(object cls, str name) except -1:
    """Does a class have this method? That of int doesn't count: it means another thing."""
    for base in cls.__mro__:
        if name in vars(base):
            return base is not int
    return False


cdef Plan item_plan(cnp.dtype dtype, bint gives_numpy):
    cdef Plan plan
    cdef NumberPlan number
    cdef ItemPlan item
    base = dtype.base
    if dtype in CODES:
        plan = number = NumberPlan.__new__(NumberPlan)
        number.code = CODES[dtype]
        number.gives_numpy = gives_numpy
    else:
        plan = item = ItemPlan.__new__(ItemPlan)
        item.gives_numpy = gives_numpy
        item.has_bools = base.kind == "b"
    plan.is_checked = base.kind in "bU"
    plan.dtype = dtype
    plan.size = dtype.itemsize
    unit = {"S": 1, "U": 4, "c": base.itemsize // 2}.get(base.kind, base.itemsize)
    plan.units = ((unit, plan.size // unit),)
    return plan


cdef Plan annotated_plan(object held, object given):
    cdef cnp.dtype dtype
    try:
        dtype = item_dtype("" if given is None else given).newbyteorder("=")
    except (TypeError, ValueError):
        raise TypeError(
            f"Annotated[{held}, {given!r}]: the second must be a dtype of a fixed size, as in Annotated[bytes, 'S16'], "
            "Annotated[np.ndarray, ('f4', (8,))] or Annotated[np.datetime64, 'M8[ns]']"
        ) from None
    base = dtype.base
    if base.kind not in "biufcSUmM" or base.char in "gG":
        raise TypeError(f"Annotated[{held}, {given!r}]: {base} is no number, text, bytes or time of a fixed width")
    fitting = [np.ndarray] if dtype.shape else [base.type, PYTHON_TYPES.get(base.kind, base.type)]
    if held not in fitting:
        raise TypeError(f"Annotated[{held}, {given!r}]: what {dtype} keeps is a {fitting[-1].__name__}")
    return item_plan(dtype, held not in PYTHON_TYPES.values())
