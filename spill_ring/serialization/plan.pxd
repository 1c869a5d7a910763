"""Plans: how the values of a type are written as bytes and read again."""
cimport cython


cdef enum:
    MAX_DEPTH = 500  # of values in values: deeper ones could overflow the stack


ctypedef struct Writer:
    char *data
    Py_ssize_t size, allocated
    char *owned  # NULL while `data` is the caller's
    int depth


ctypedef struct Reader:  # what is left to read
    const char *at
    const char *end
    int depth


cdef class Plan:
    cdef object type  # of the values
    # The same values as items of an array; None where there are none. (Were it declared as numpy's dtype, whoever
    # cimports this module would need numpy's headers.)
    cdef readonly object dtype
    cdef Py_ssize_t size  # of every value, in bytes; -1: it depends on the value
    cdef Py_ssize_t min_size  # the least that any value takes
    cdef bint is_checked  # `check` has something to do
    cdef tuple units  # of a fixed size: (bytes, how many) of each number in it, for another byte order

    cdef int write(self, object value, Writer *out) except -1
    cdef object read(self, Reader *data)

    # Of a fixed size, in this machine's byte order. `check` comes before `load`, and refuses bytes that `store` never
    # writes.
    cdef int store(self, object value, char *out) except -1
    cdef object load(self, const char *data)
    cdef int check(self, const char *data) except -1

    cdef Py_ssize_t find_min_size(self)

    @cython.final
    cdef int swap(self, char *data) noexcept


cdef class SizedPlan(Plan):
    cdef int write_bytes(self, const char *data, Py_ssize_t count, Writer *out) except -1


# The plan of a type with no others in it; None of any other type.
cdef Plan leaf_plan(object hint)


# -- what plans write to, and read from ----------------------------------------------------------------
# Inline where it is fast; the rest is in plan.pyx.

cdef int grow(Writer *out, Py_ssize_t count) except -1
cdef int write_long_length(Py_ssize_t length, Writer *out) except -1
cdef Py_ssize_t read_long_length(Reader *data) except -1
cdef int raise_end(Py_ssize_t needed, Py_ssize_t available) except -1
cdef int raise_flag(unsigned char found, str what) except -1
cdef int raise_nested(bint is_writing) except -1


cdef inline char *add_bytes(Writer *out, Py_ssize_t count) except NULL:
    """Where the next `count` bytes go, which are counted as written."""
    if count > out.allocated - out.size:
        grow(out, count)
    out.size += count
    return out.data + out.size - count


cdef inline const char *next_bytes(Reader *data, Py_ssize_t count) except NULL:
    cdef const char *at = data.at
    if count > data.end - at:
        raise_end(count, data.end - at)
    data.at += count
    return at


cdef inline int write_length(Py_ssize_t length, Writer *out) except -1:
    """As LEB128: seven bits a byte, the lowest first; all but the last have the eighth bit set."""
    if length >= 0x80:
        return write_long_length(length, out)
    add_bytes(out, 1)[0] = <char>length
    return 0


cdef inline Py_ssize_t read_length(Reader *data) except -1:
    if data.at < data.end and not data.at[0] & 0x80:
        data.at += 1
        return <Py_ssize_t>data.at[-1]
    return read_long_length(data)


cdef inline bint read_flag(const char *data, str what) except -1:
    if <unsigned char>data[0] > 1:
        raise_flag(<unsigned char>data[0], what)
    return data[0]


cdef inline int enter_nested(int *depth, bint is_writing) except -1:
    if depth[0] == MAX_DEPTH:
        raise_nested(is_writing)
    depth[0] += 1
    return 0
