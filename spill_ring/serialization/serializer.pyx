"""`ByteSerializer`: single values as bytes."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free
from libc.string cimport memcpy

from spill_ring._core.cpython cimport PY_BIG_ENDIAN
from spill_ring.serialization.composite cimport plan_for, plan_of
from spill_ring.serialization.plan cimport Plan, Reader, Writer

from spill_ring.serialization.errors import BufferTooSmall, InvalidData

import numpy as np


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
    are at most 500 deep in each other. The form of a type is found out once, and kept for about a thousand types.

    **Thread safety.** Any number of threads may use one serializer, or one each. If a list changes meanwhile,
    the items that it had at one moment are written.

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
            The type to read it as, if its own type doesn't show that: ``int | None``, ``list[np.float32]``
            of Python floats, ``np.int16`` of an int.

        Returns
        -------
        bytes

        Raises
        ------
        TypeError
            There is no form for such a type, or the value is of another type.
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
        cdef Writer out
        cdef char first[256]
        if plan.size >= 0:
            data = PyBytes_FromStringAndSize(NULL, plan.size)
            plan.store(value, PyBytes_AS_STRING(data))
            if PY_BIG_ENDIAN:
                plan.swap(PyBytes_AS_STRING(data))
            return data
        out.data, out.allocated, out.size, out.owned, out.depth = first, sizeof(first), 0, NULL, 0
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
            A bytearray, memoryview or C-contiguous ndarray, of anything but Python objects.
        type : type, optional
            As for `serialize`.

        Returns
        -------
        int
            How many bytes were written; the rest of the buffer stays as it was.

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
        cdef bytes data = self.serialize(value, type)  # An error must leave the buffer as it was.
        if not isinstance(buffer, bytearray):
            refuse_references(buffer)
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
            The bytes of one value: any that come after it are invalid.
        type : type
            The type that it was written as.

        Returns
        -------
        object
            Of that type: a numpy scalar where it names numpy's type.

        Raises
        ------
        UnexpectedEnd
            The data is too short.
        InvalidData
            `serialize` writes no such data for this type.
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
    cdef Reader left
    left.at, left.end, left.depth = data, data + size, 0
    value = plan.read(&left)
    if left.at != left.end:
        raise InvalidData(f"{left.end - left.at} bytes come after the value")
    return value


cdef int refuse_references(object buffer) except -1:
    """Bytes that are written over references would be used as such: only the format tells that a buffer has any."""
    if isinstance(buffer, np.ndarray):  # numpy gives no format of times
        has_references = buffer.dtype.hasobject
    else:
        with memoryview(buffer) as view:
            has_references = "O" in view.format
    if has_references:
        raise TypeError("the buffer holds Python objects, and bytes can't be written over these; give a bytearray")
    return 0
