"""Single values as bytes.

A type is made into a `Plan` once: a tree of small objects that write and read without looking at the
type again. Whatever numpy would be asked about an item, `block` is asked here too.
"""
cimport cython
cimport numpy as cnp
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcpy

from spill_ring._core.block cimport as_block, as_item, copy_block, item_dtype, item_of

import dataclasses
import operator
import types
import typing
from typing import Protocol

import numpy as np

cnp.import_array()


cdef extern from *:
    """
    #include <numpy/npy_endian.h>
    #define SR_IS_BIG_ENDIAN (NPY_BYTE_ORDER == NPY_BIG_ENDIAN)

    /* A new reference, also while another thread changes the dict. NULL without an error: it is not there,
     * or no key. */
    static PyObject *sr_find(PyObject *dict, PyObject *key)
    {
        PyObject *found;
    #if PY_VERSION_HEX >= 0x030D0000
        PyDict_GetItemRef(dict, key, &found);
    #else
        found = PyDict_GetItemWithError(dict, key);
        Py_XINCREF(found);
    #endif
        if (found == NULL && PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Clear();
        return found;
    }

    /* As unpickling does: without __init__. */
    static PyObject *sr_new_instance(PyObject *type, PyObject *no_arguments)
    {
        return ((PyTypeObject *)type)->tp_new((PyTypeObject *)type, no_arguments, NULL);
    }
    """
    bint SR_IS_BIG_ENDIAN
    PyObject *sr_find(object dict, object key) except? NULL
    object sr_new_instance(object type, object no_arguments)


cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX
    void Py_DECREF(PyObject *o)
    bint PyLong_CheckExact(object o)
    bint PyFloat_Check(object o)
    double PyFloat_AS_DOUBLE(object o)
    double PyFloat_AsDouble(object o) except? -1
    long long PyLong_AsLongLongAndOverflow(object o, int *overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object o) except? -1
    int PyFloat_Pack2(double x, char *p, int is_little) except -1
    int PyFloat_Pack4(double x, char *p, int is_little) except -1
    double PyFloat_Unpack2(const char *p, int is_little) except? -1
    const char *PyUnicode_AsUTF8AndSize(object o, Py_ssize_t *size) except NULL
    object PyObject_GetAttr(object o, object name)
    int PyObject_GenericSetAttr(object o, object name, object value) except -1


cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *data, cnp.dtype dtype, PyObject *base)
    void PyArray_ScalarAsCtype(object scalar, void *out)


cdef enum:
    DEPTH = 500  # values in values: deeper ones could overflow the stack
    PLANS = 1024  # that are kept
    LENGTH_BYTES = 5


class SerializationError(ValueError):
    """What goes wrong with bytes: `BufferTooSmall`, `UnexpectedEnd` or `InvalidData`."""


class BufferTooSmall(SerializationError):
    """The value needs `needed` bytes, and the caller's buffer has `available`."""

    def __init__(self, needed, available):
        super().__init__(needed, available)
        self.needed = needed
        self.available = available

    def __str__(self):
        return f"the value takes {self.needed} bytes, and the buffer has {self.available}"


class UnexpectedEnd(SerializationError):
    """The data ends where `needed` bytes more must come at least, and `available` do."""

    def __init__(self, needed, available):
        super().__init__(needed, available)
        self.needed = needed
        self.available = available

    def __str__(self):
        return f"the data ends too early: {self.needed} bytes must come, and {self.available} do"


class InvalidData(SerializationError):
    """The data is none that `ByteSerializer` writes for a value of this type."""


class ToBytes(Protocol):
    """What writes itself: a class with ``to_bytes(self) -> bytes``.

    `ByteSerializer` puts a length in front, as with `bytes`, so that `FromBytes.from_bytes` gets
    exactly what `to_bytes` gave, wherever the value stands. (``int.to_bytes`` means another thing, and
    is never taken for this one.)
    """

    def to_bytes(self):
        """The bytes of this value, which ``from_bytes`` of its class reads."""
        ...


class FromBytes(Protocol):
    """What reads itself: a class with a classmethod ``from_bytes(cls, data) -> Self``."""

    @classmethod
    def from_bytes(cls, data, /):
        """The value that `data`, all of it, was made of; else `InvalidData`, or an error of its own."""
        ...


# -- what is written to, and read from -----------------------------------------------------------------

cdef char *room_for(Out *out, Py_ssize_t count) except NULL:
    """Where the next `count` bytes go, which are taken as written."""
    cdef Py_ssize_t room
    cdef char *grown
    if count > out.room - out.size:
        if count > PY_SSIZE_T_MAX // 2 - out.room:
            raise MemoryError
        room = 2 * out.room + count
        grown = <char *>PyMem_Realloc(out.owned, room)
        if grown == NULL:
            raise MemoryError
        if out.owned == NULL:
            memcpy(grown, out.data, out.size)
        out.data = out.owned = grown
        out.room = room
    out.size += count
    return out.data + out.size - count


cdef int write_length(Py_ssize_t length, Out *out) except -1:
    """As LEB128: seven bits a byte, the lowest first; all but the last have the eighth bit set."""
    if <long long>length >> 7 * LENGTH_BYTES:  # 35 bits, more than a Py_ssize_t may have
        raise ValueError(f"a length of {length} takes more than {LENGTH_BYTES} bytes")
    while length >= 0x80:
        room_for(out, 1)[0] = <char>(length & 0x7F | 0x80)
        length >>= 7
    room_for(out, 1)[0] = <char>length
    return 0


cdef const char *next_bytes(In *data, Py_ssize_t count) except NULL:
    cdef const char *at = data.at
    if count > data.end - at:
        raise UnexpectedEnd(count, data.end - at)
    data.at += count
    return at


cdef Py_ssize_t read_length(In *data) except -1:
    cdef long long length = 0
    cdef int i
    cdef unsigned char byte
    for i in range(LENGTH_BYTES):
        byte = <unsigned char>next_bytes(data, 1)[0]
        length |= <long long>(byte & 0x7F) << 7 * i
        if byte < 0x80:
            if byte == 0 and i:
                raise InvalidData(f"a length of {length} in {i + 1} bytes, where fewer do")
            if length > PY_SSIZE_T_MAX:  # a machine of 32 bits holds no such data
                raise UnexpectedEnd(length, data.end - data.at)
            return <Py_ssize_t>length
    raise InvalidData(f"a length of more than {LENGTH_BYTES} bytes")


cdef bint read_flag(const char *data, str what) except -1:
    if <unsigned char>data[0] > 1:
        raise InvalidData(f"{what} of {<unsigned char>data[0]}, which must be 0 or 1")
    return data[0]


cdef int deeper(int *depth, bint is_writing) except -1:
    if depth[0] == DEPTH:
        if is_writing:
            raise RecursionError(f"values nested more than {DEPTH} deep")
        raise InvalidData(f"values nested more than {DEPTH} deep")
    depth[0] += 1
    return 0


# -- plans ---------------------------------------------------------------------------------------------

cdef class Plan:
    """How values of one type are written and read. Any number of threads may use it: it never changes."""

    def __cinit__(self):
        self.size = -1

    cdef int write(self, object value, Out *out) except -1:
        cdef char *place = room_for(out, self.size)
        self.store(value, place)
        if SR_IS_BIG_ENDIAN:
            self.swap(place)
        return 0

    cdef object read(self, In *data):
        cdef const char *place = next_bytes(data, self.size)
        cdef bytes swapped
        if SR_IS_BIG_ENDIAN:
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

    cdef Py_ssize_t shortest(self):
        """Bytes that any value takes, as far as the parts are known: never too many."""
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


cdef class Nothing(Plan):
    """None."""

    cdef int store(self, object value, char *out) except -1:
        if value is not None:
            raise TypeError(f"expected None, not {value!r}")
        return 0

    cdef object load(self, const char *data):
        return None


cdef class Never(Plan):
    """What the elements of an empty list are."""

    cdef int write(self, object value, Out *out) except -1:
        return self.store(value, NULL)

    cdef object read(self, In *data):
        return self.load(NULL)

    cdef Py_ssize_t shortest(self):
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
cdef class Number(Plan):
    """A bool, integer or float of a fixed width, as numpy's or as Python's."""

    cdef int code
    cdef bint is_numpys

    cdef int store(self, object value, char *out) except -1:
        cdef double real
        if self.code == BOOL:
            if value is not True and value is not False and not isinstance(value, np.bool_):
                raise TypeError(f"expected True or False, not {value!r}")
            out[0] = <bint>value
        elif self.is_numpys and type(value) is self.type:
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
                PyFloat_Pack4(real, out, not SR_IS_BIG_ENDIAN)
            else:
                PyFloat_Pack2(real, out, not SR_IS_BIG_ENDIAN)
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
        # the low bytes, which are at the other end where the order is another
        memcpy(out, <char *>&whole + (8 - self.size if SR_IS_BIG_ENDIAN else 0), self.size)
        return 0

    cdef object load(self, const char *data):
        cdef double real
        cdef float single
        cdef long long whole = 0
        cdef int shift
        if self.is_numpys:
            return PyArray_Scalar(<void *>data, self.dtype, NULL)
        if self.code == F8:
            memcpy(&real, data, 8)
            return real
        if self.code == BOOL:
            return data[0] != 0
        if self.code == F4:
            memcpy(&single, data, 4)
            return <double>single
        if self.code == F2:
            return PyFloat_Unpack2(data, not SR_IS_BIG_ENDIAN)
        memcpy(<char *>&whole + (8 - self.size if SR_IS_BIG_ENDIAN else 0), data, self.size)
        if self.code >= U1:
            return <unsigned long long>whole
        shift = 64 - 8 * self.size
        return <long long>(<unsigned long long>whole << shift) >> shift

    cdef int check(self, const char *data) except -1:
        if self.code == BOOL:
            read_flag(data, "a bool")
        return 0


@cython.final
cdef class Item(Plan):
    """What else numpy keeps in a fixed size: sub-arrays, bytes, text, complex numbers, times."""

    cdef bint is_numpys
    cdef bint has_bools

    cdef int store(self, object value, char *out) except -1:
        cdef cnp.dtype base = self.dtype.base
        if base.kind in "SU" and self.dtype.subdtype is None:
            # numpy would cut it, and takes zeros at the end for what fills it up
            if not isinstance(value, bytes if base.kind == "S" else str):
                raise TypeError(f"expected {'bytes' if base.kind == 'S' else 'text'} for {base}, not {value!r}")
            room = base.itemsize if base.kind == "S" else base.itemsize // 4
            if len(value) > room:
                raise ValueError(f"{value!r} is longer than the {room} of {base}")
            if value and not value[-1:].strip(b"\0" if base.kind == "S" else "\0"):
                raise ValueError(f"{value!r} ends in a zero, which {base} can't keep")
        memcpy(out, cnp.PyArray_DATA(as_item(value, self.dtype)), self.size)
        return self.check(out)  # numpy's bool may be a byte of 2, by view()

    cdef object load(self, const char *data):
        value = item_of(self.dtype, data)
        return value if self.is_numpys else value.item()

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


cdef class Product(Plan):
    """One value after the other."""

    cdef int set_plans(self, tuple plans) except -1:
        cdef Plan plan
        cdef Py_ssize_t size = 0
        for plan in plans:
            size = -1 if plan.size < 0 or size < 0 else size + plan.size
            self.is_checked |= plan.is_checked
        self.plans = plans
        self.size = size
        if size >= 0:
            self.units = tuple([unit for plan in plans for unit in plan.units])
        return 0

    cdef int enter_slow(self, object value) except -1:
        """Refuse what is none of this type."""

    cdef object part(self, object value, Py_ssize_t i):
        """One of the values that `value` is made of."""

    cdef object begin(self):
        """What `add` is to be called on, for each part in order, and `finish` in the end."""

    cdef int add(self, object made, Py_ssize_t i, object part) except -1:
        return 0

    cdef object finish(self, object made):
        return made

    cdef Py_ssize_t shortest(self):
        cdef Plan plan
        cdef Py_ssize_t total = 0
        for plan in self.plans:
            total += plan.least
        return min(total, 1 << 30)  # of a type that holds itself it would grow for ever

    cdef int write(self, object value, Out *out) except -1:
        cdef Py_ssize_t i = 0
        if self.size >= 0:
            return Plan.write(self, value, out)
        self.enter_slow(value)
        deeper(&out.depth, True)
        try:
            for i in range(len(self.plans)):
                (<Plan>self.plans[i]).write(self.part(value, i), out)
        except Exception as error:
            self.say_where(error, i)
            raise
        out.depth -= 1
        return 0

    cdef object read(self, In *data):
        cdef Py_ssize_t i
        if self.size >= 0:
            return Plan.read(self, data)
        made = self.begin()
        deeper(&data.depth, False)
        for i in range(len(self.plans)):
            self.add(made, i, (<Plan>self.plans[i]).read(data))
        data.depth -= 1
        return self.finish(made)

    cdef int store(self, object value, char *out) except -1:
        cdef Plan plan
        cdef Py_ssize_t i = 0
        self.enter_slow(value)
        try:
            for i in range(len(self.plans)):
                plan = <Plan>self.plans[i]
                plan.store(self.part(value, i), out)
                out += plan.size
        except Exception as error:
            self.say_where(error, i)
            raise
        return 0

    cdef object load(self, const char *data):
        cdef Plan plan
        cdef Py_ssize_t i
        made = self.begin()
        for i in range(len(self.plans)):
            plan = <Plan>self.plans[i]
            self.add(made, i, plan.load(data))
            data += plan.size
        return self.finish(made)

    cdef int check(self, const char *data) except -1:
        cdef Plan plan
        for plan in self.plans:
            if plan.is_checked:
                plan.check(data)
            data += plan.size
        return 0

    cdef int say_where(self, object error, Py_ssize_t i) except -1:
        error.add_note(f"in {self.type.__name__}.{self.names[i]}" if self.names else f"in item {i} of a tuple")
        return 0


@cython.final
cdef class Tuple(Product):
    cdef int enter_slow(self, object value) except -1:
        if type(value) is not tuple or len(<tuple>value) != len(self.plans):
            raise TypeError(f"expected a tuple of {len(self.plans)}, not {value!r}")
        return 0

    cdef object part(self, object value, Py_ssize_t i):
        return (<tuple>value)[i]

    cdef object begin(self):
        return []  # nobody sees a tuple that is not whole

    cdef int add(self, object made, Py_ssize_t i, object part) except -1:
        (<list>made).append(part)
        return 0

    cdef object finish(self, object made):
        return tuple(<list>made)


cdef tuple NO_ARGUMENTS = ()


@cython.final
cdef class Dataclass(Product):
    """A record where there is a dtype."""

    cdef int enter_slow(self, object value) except -1:
        if type(value) is not self.type:  # of a subclass something would be missing afterwards
            raise TypeError(f"expected a {self.type.__name__}, not {value!r}")
        return 0

    cdef object part(self, object value, Py_ssize_t i):
        return PyObject_GetAttr(value, self.names[i])

    cdef object begin(self):
        return sr_new_instance(self.type, NO_ARGUMENTS)

    cdef int add(self, object made, Py_ssize_t i, object part) except -1:
        PyObject_GenericSetAttr(made, self.names[i], part)  # a frozen one too
        return 0


@cython.final
cdef class Maybe(Plan):
    """A value or None."""

    cdef Plan plan

    cdef int write(self, object value, Out *out) except -1:
        room_for(out, 1)[0] = value is not None
        if value is not None:
            deeper(&out.depth, True)
            self.plan.write(value, out)
            out.depth -= 1
        return 0

    cdef object read(self, In *data):
        if not read_flag(next_bytes(data, 1), "an optional value's first byte"):
            return None
        deeper(&data.depth, False)
        value = self.plan.read(data)
        data.depth -= 1
        return value

    cdef Py_ssize_t shortest(self):
        return 1


cdef class Sized(Plan):
    """What has its length in front."""

    cdef int write_bytes(self, const char *data, Py_ssize_t count, Out *out) except -1:
        write_length(count, out)
        memcpy(room_for(out, count), data, count)
        return 0

    cdef Py_ssize_t shortest(self):
        return 1


@cython.final
cdef class Text(Sized):
    cdef int write(self, object value, Out *out) except -1:
        cdef const char *data
        cdef Py_ssize_t size
        if not isinstance(value, str):
            raise TypeError(f"expected a str, not {value!r}")
        data = PyUnicode_AsUTF8AndSize(value, &size)
        return self.write_bytes(data, size, out)

    cdef object read(self, In *data):
        cdef Py_ssize_t size = read_length(data)
        cdef const char *text = next_bytes(data, size)
        try:
            return PyUnicode_DecodeUTF8(text, size, NULL)
        except UnicodeDecodeError as error:
            raise InvalidData(f"text that is not UTF-8: {error}") from None


@cython.final
cdef class Bytes(Sized):
    cdef int write(self, object value, Out *out) except -1:
        if not isinstance(value, bytes):
            raise TypeError(f"expected bytes, not {value!r}")
        return self.write_bytes(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), out)

    cdef object read(self, In *data):
        cdef Py_ssize_t size = read_length(data)
        return PyBytes_FromStringAndSize(next_bytes(data, size), size)


@cython.final
cdef class Own(Sized):
    """A class with `to_bytes`, `from_bytes` or both."""

    cdef int write(self, object value, Out *out) except -1:
        if type(value) is not self.type:
            raise TypeError(f"expected a {self.type.__name__}, not {value!r}")
        if not defines(self.type, "to_bytes"):
            raise TypeError(f"{self.type.__name__} has from_bytes, but no to_bytes to write it")
        data = value.to_bytes()
        if not isinstance(data, bytes):
            raise TypeError(f"{self.type.__name__}.to_bytes must return bytes, not {data!r}")
        return self.write_bytes(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), out)

    cdef object read(self, In *data):
        cdef Py_ssize_t size = read_length(data)
        cdef const char *place = next_bytes(data, size)
        if not defines(self.type, "from_bytes"):
            raise TypeError(f"{self.type.__name__} has to_bytes, but no from_bytes to read it")
        return self.type.from_bytes(place[:size])


@cython.final
cdef class Many(Sized):
    """A list, or an array of one dimension, of values of one type."""

    cdef Plan plan
    cdef bint is_array

    cdef int write(self, object value, Out *out) except -1:
        cdef tuple items
        cdef Py_ssize_t i
        cdef char *place
        if isinstance(value, np.ndarray) and self.plan.dtype is not None:
            return self.write_array(value, out)
        if self.is_array or not isinstance(value, (list, tuple)):
            raise TypeError(f"expected {'an ndarray' if self.is_array else 'a list'} for {self.type}, not {value!r}")
        items = tuple(value)  # nobody can change it meanwhile
        write_length(len(items), out)
        if self.plan.size >= 0:
            place = room_for(out, len(items) * self.plan.size)
            for i in range(len(items)):
                self.plan.store(items[i], place)
                if SR_IS_BIG_ENDIAN:
                    self.plan.swap(place)
                place += self.plan.size
            return 0
        deeper(&out.depth, True)
        for i in range(len(items)):
            self.plan.write(items[i], out)
        out.depth -= 1
        return 0

    cdef int write_array(self, object value, Out *out) except -1:
        cdef cnp.ndarray block = as_block(value, self.plan.dtype)
        cdef Py_ssize_t count = cnp.PyArray_DIM(block, 0)
        cdef Py_ssize_t i
        cdef char *place
        write_length(count, out)
        place = room_for(out, count * self.plan.size)
        memcpy(place, cnp.PyArray_DATA(block), count * self.plan.size)
        for i in range(count if self.plan.is_checked else 0):
            self.plan.check(place + i * self.plan.size)
        if SR_IS_BIG_ENDIAN:
            for i in range(count):
                self.plan.swap(place + i * self.plan.size)
        return 0

    cdef object read(self, In *data):
        cdef Py_ssize_t count = read_length(data)
        cdef Py_ssize_t i
        cdef Py_ssize_t least = max(self.plan.least, 1)
        cdef const char *place
        cdef list items = []
        # Asked before anything is allocated; divided, as the product could be anything.
        if count > (data.end - data.at) // least:
            raise UnexpectedEnd(int(count) * least, data.end - data.at)
        if self.plan.size > 0 and not SR_IS_BIG_ENDIAN:
            place = next_bytes(data, count * self.plan.size)
            for i in range(count if self.plan.is_checked else 0):
                self.plan.check(place + i * self.plan.size)
            if self.is_array:
                return copy_block(self.plan.dtype, place, count)
            for _ in range(count):
                items.append(self.plan.load(place))
                place += self.plan.size
            return items
        deeper(&data.depth, False)
        for _ in range(count):
            items.append(self.plan.read(data))
        data.depth -= 1
        return np.array(items, self.plan.dtype) if self.is_array else items


# -- from types to plans -------------------------------------------------------------------------------

cdef dict NUMPYS = {np.dtype(code).type: np.dtype(code) for code in "?bBhHiIlLqQefdFD"}
cdef dict PYTHONS = {"b": bool, "i": int, "u": int, "f": float, "c": complex, "S": bytes, "U": str}

# A plan is in here once it is whole, and doesn't change then. When there are too many all go, as `re` does
# with its patterns.
cdef dict known = {}


cdef Plan plan_of(object hint):
    cdef PyObject *found
    cdef dict memo
    cdef Plan plan
    found = sr_find(known, hint)
    if found != NULL:
        plan = <Plan?>found
        Py_DECREF(found)
        return plan
    memo = {}
    plan = make_plan(hint, memo, 0)
    set_least(memo)
    if len(known) >= PLANS:
        known.clear()
    try:
        known[hint] = plan
    except TypeError:  # not hashable, as where a dtype is given as a list
        pass
    return plan


cdef Dataclass dataclass_plan(object cls):
    cdef dict memo = {}
    cdef Dataclass plan = make_dataclass(cls, memo, 0)
    set_least(memo)
    return plan


cdef int set_least(dict memo) except -1:
    """From below, so that types that hold each other never claim too much."""
    cdef Plan plan
    for _ in memo:
        for plan in memo.values():
            plan.least = plan.shortest()
    for plan in memo.values():
        if isinstance(plan, Many) and (<Many>plan).plan.least == 0:
            raise TypeError(f"{plan.type}: a list of what takes no bytes could be of any length")
    return 0


cdef Plan make_plan(object hint, dict memo, int depth):
    """A plan, which is in `memo` by the `id` of its type, as all that are new in it are.

    A type that holds itself finds there the plan that is being made, of a size that is not known.
    """
    cdef Plan plan
    cdef Tuple several
    if depth > DEPTH:
        raise TypeError(f"a type nested more than {DEPTH} deep")
    if hint is None:
        hint = types.NoneType
    if id(hint) in memo:
        return memo[id(hint)]
    plan = simple_plan(hint)
    if plan is not None:
        return registered(plan, hint, memo)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        record = vars(hint).get("__record__")
        if isinstance(record, Dataclass) and (<Dataclass>record).type is hint:
            return record  # which others use already: it doesn't change any more
        return make_dataclass(hint, memo, depth)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hasattr(origin, "__value__"):  # of a `type` statement, which numpy's NDArray is since 2.5
        meant = origin.__value__[args]
        origin, args = typing.get_origin(meant), typing.get_args(meant)
    if origin is list and len(args) == 1:
        plan = registered(Many.__new__(Many), hint, memo)
        (<Many>plan).plan = make_plan(args[0], memo, depth + 1)
        return plan
    if origin is tuple and ... not in args and hint is not typing.Tuple:
        several = registered(Tuple.__new__(Tuple), hint, memo)
        several.set_plans(tuple([make_plan(arg, memo, depth + 1) for arg in args]))
        return several
    if origin in (typing.Union, types.UnionType):
        rest = [arg for arg in args if arg is not types.NoneType]
        if len(rest) == 1:
            plan = registered(Maybe.__new__(Maybe), hint, memo)
            (<Maybe>plan).plan = make_plan(rest[0], memo, depth + 1)
            return plan
    if origin is np.ndarray and typing.get_args(args[-1])[:1]:
        plan = registered(Many.__new__(Many), hint, memo)
        (<Many>plan).is_array = True
        (<Many>plan).plan = make_plan(typing.get_args(args[-1])[0], memo, depth + 1)
        if (<Many>plan).plan.dtype is not None:
            return plan
    raise TypeError(
        f"{hint!r} has no form in bytes: there are None, bool, int, float, str, bytes, numpy's numbers, T | None, "
        "tuple[T, U] (not of any length), list[T], NDArray[T], Annotated[T, dtype], dataclasses, and classes with "
        "to_bytes and from_bytes"
    )


cdef Plan registered(Plan plan, object hint, dict memo):
    plan.type = hint
    memo[id(hint)] = plan
    return plan


cdef Plan simple_plan(object hint):
    """The plan of a type with no others in it; None of any other type."""
    cdef Plan plan
    if hint is types.NoneType:
        plan = Nothing.__new__(Nothing)
        plan.size, plan.units = 0, ()
        return plan
    if hint is typing.Never:
        return Never.__new__(Never)
    if hint is str:
        return Text.__new__(Text)
    if hint is bytes:
        return Bytes.__new__(Bytes)
    if hint is bool or hint is int or hint is float:
        return item_plan(np.dtype(hint if hint is not int else "i8"), False)
    if typing.get_origin(hint) is typing.Annotated:
        args = typing.get_args(hint)
        return annotated_plan(args[0], args[1])
    if not isinstance(hint, type):
        return None
    if hint in NUMPYS:
        return item_plan(NUMPYS[hint], True)
    if defines(hint, "to_bytes") or defines(hint, "from_bytes"):
        return Own.__new__(Own)
    return None


cdef bint defines(object cls, str name) except -1:
    """Has it this method, not counting int's, which means another thing?"""
    for base in cls.__mro__:
        if name in vars(base):
            return base is not int
    return False


cdef Plan item_plan(cnp.dtype dtype, bint is_numpys):
    cdef Plan plan
    cdef Number number
    cdef Item item
    base = dtype.base
    if dtype in CODES:
        plan = number = Number.__new__(Number)
        number.code = CODES[dtype]
        number.is_numpys = is_numpys
    else:
        plan = item = Item.__new__(Item)
        item.is_numpys = is_numpys
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
    fitting = [np.ndarray] if dtype.shape else [base.type, PYTHONS.get(base.kind, base.type)]
    if held not in fitting:
        raise TypeError(f"Annotated[{held}, {given!r}]: what {dtype} keeps is a {fitting[-1].__name__}")
    return item_plan(dtype, held not in PYTHONS.values())


cdef Dataclass make_dataclass(object cls, dict memo, int depth):
    cdef Dataclass plan = registered(Dataclass.__new__(Dataclass), cls, memo)
    cdef list plans = []
    names = tuple([field.name for field in dataclasses.fields(cls)])
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise TypeError(f"the fields of {cls.__name__} name a type that is not found: {error}") from None
    for name in names:
        try:
            plans.append(make_plan(hints[name], memo, depth + 1))
        except TypeError as error:
            raise TypeError(f"field {name!r} of {cls.__name__}: {error}") from None
    plan.names = names
    plan.set_plans(tuple(plans))
    return plan


cdef object type_of(object value, int depth):
    """The type that a value tells by itself."""
    cls = type(value)
    if depth > DEPTH:
        raise RecursionError(f"values nested more than {DEPTH} deep")
    if cls is tuple:
        return types.GenericAlias(tuple, tuple([type_of(item, depth + 1) for item in value]))
    if cls is list:
        items = {type_of(item, depth + 1): item for item in value}
        if len(items) > 1:
            one, other = list(items.values())[:2]
            raise TypeError(f"{one!r} and {other!r} in a list are of two types: give serialize the list's type")
        return list[next(iter(items), typing.Never)]
    if cls is np.ndarray and value.ndim == 1:
        return np.ndarray[tuple[int], np.dtype[value.dtype.type]]
    return cls


# -- the serializer ------------------------------------------------------------------------------------

cdef class ByteSerializer:
    """ByteSerializer()\n--\n
    Single values as bytes, and back: compact, little-endian, and one form for each value.

    Notes
    -----
    What each type is written as, one after the other, with nothing between:

    ======================================  =============================================================
    ``bool``, ``np.bool_``                  a byte, 0 or 1
    numpy's integers and floats             their own size
    ``int``, ``float``                      8 bytes
    ``None``                                nothing
    ``tuple[T, U]``                         a T, then a U
    ``T | None``                            a byte 0; or a byte 1, then a T
    ``str``, ``bytes``                      the length in bytes, then UTF-8, or the bytes
    ``list[T]``, ``NDArray[T]``             how many, then each
    a dataclass, a `record` too             its fields in order
    ``Annotated[T, dtype]``                 the bytes of one such item
    a class with `to_bytes`, `from_bytes`   what `to_bytes` gives, as `bytes` are
    ======================================  =============================================================

    Lengths are canonical LEB128 of at most five bytes. Reading takes time and memory in proportion to the data,
    whatever lengths it claims. A dataclass is made as unpickling makes it, without ``__init__``. Values
    are at most 500 deep in each other. What a type is written as is found out once, and kept for the
    latest thousand or so.

    **Thread safety.** Any number of threads may use one, or one each. A list may change meanwhile:
    the items it had at one moment are written.

    >>> serializer = ByteSerializer()
    >>> data = serializer.serialize((np.int16(1), "ab", [True, False]))
    >>> data.hex(" ")
    '01 00 02 61 62 02 01 00'
    >>> serializer.deserialize(data, tuple[np.int16, str, list[bool]])
    (np.int16(1), 'ab', [True, False])
    >>> serializer.serialize(5.0, float | None).hex()
    '010000000000001440'
    """

    def serialize(self, value, type=...):
        """A value as bytes. O(its size).

        Parameters
        ----------
        value : object
            Of one of the types above.
        type : type, optional
            What it is to be read as, where its own type doesn't tell: ``int | None``, ``list[np.float32]``
            of Python floats, ``np.int16`` of an int.

        Returns
        -------
        bytes

        Raises
        ------
        TypeError
            There is no form for such a type, or the value is of another one.
        OverflowError
            A number is out of range.
        ValueError
            Text that UTF-8 can't hold, or that is too long for a dtype.
        RecursionError
            Values are nested more than 500 deep.

        Examples
        --------
        >>> ByteSerializer().serialize(1000, np.uint16 | None).hex(" ")
        '01 e8 03'
        """
        cdef Plan plan = plan_for(value, type)
        cdef Out out
        cdef char first[256]
        if plan.size >= 0:
            data = PyBytes_FromStringAndSize(NULL, plan.size)
            plan.store(value, PyBytes_AS_STRING(data))
            if SR_IS_BIG_ENDIAN:
                plan.swap(PyBytes_AS_STRING(data))
            return data
        out.data, out.room, out.size, out.owned, out.depth = first, sizeof(first), 0, NULL, 0
        try:
            plan.write(value, &out)
            return PyBytes_FromStringAndSize(out.data, out.size)
        finally:
            PyMem_Free(out.owned)

    def to_bytes(self, value, buffer, type=...):
        """Write a value into a buffer of the caller's, from its start.

        Parameters
        ----------
        value : object
            As for `serialize`.
        buffer : writable buffer
            A bytearray, memoryview or C-contiguous ndarray.
        type : type, optional
            As for `serialize`.

        Returns
        -------
        int
            Bytes written; what is behind them is left as it was.

        Raises
        ------
        BufferTooSmall
            Nothing was written.
        TypeError, OverflowError, ValueError, RecursionError
            As `serialize` does; nothing was written.

        Examples
        --------
        >>> buffer = bytearray(8)
        >>> ByteSerializer().to_bytes("abc", buffer), buffer.hex(" ")
        (4, '03 61 62 63 00 00 00 00')
        """
        cdef Py_buffer view
        cdef bytes data = self.serialize(value, type)  # first: half a value would be nobody's
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
        try:
            if view.len < PyBytes_GET_SIZE(data):
                raise BufferTooSmall(PyBytes_GET_SIZE(data), view.len)
            memcpy(view.buf, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        finally:
            PyBuffer_Release(&view)
        return PyBytes_GET_SIZE(data)

    def deserialize(self, data, type):
        """The value that `data` was made of. O(size of the data).

        Parameters
        ----------
        data : bytes or buffer
            All of it: bytes after the value are invalid.
        type : type
            That it was written as.

        Returns
        -------
        object
            Of that type: numpy's scalars where it names numpy's.

        Raises
        ------
        UnexpectedEnd
            The data is too short.
        InvalidData
            It is nothing that `serialize` writes for this type.
        TypeError
            There is no form for such a type, or `data` is no contiguous buffer.

        Examples
        --------
        >>> ByteSerializer().deserialize(bytes([2, 1, 0, 2, 0]), list[np.uint16])
        [np.uint16(1), np.uint16(2)]
        """
        cdef Plan plan = plan_of(type)
        cdef Py_buffer view
        if PyBytes_CheckExact(data):
            return read_all(plan, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return read_all(plan, NOTHING if view.buf == NULL else <const char *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)


cdef const char *NOTHING = b""


cdef object read_all(Plan plan, const char *data, Py_ssize_t size):
    cdef In left
    left.at, left.end, left.depth = data, data + size, 0
    value = plan.read(&left)
    if left.at != left.end:
        raise InvalidData(f"{left.end - left.at} bytes come after the value")
    return value


cdef Plan plan_for(object value, object hint):
    if hint is not ...:
        return plan_of(hint)
    cls = type(value)
    if cls is tuple or cls is list or cls is np.ndarray:
        cls = type_of(value, 0)
    return plan_of(cls)
