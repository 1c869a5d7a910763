"""Plans: how the values of a type are written as bytes and read again."""


ctypedef struct Out:  # what is being written
    char *data
    Py_ssize_t size, room
    char *owned  # NULL while `data` is the caller's
    int depth


ctypedef struct In:  # what is left to read
    const char *at
    const char *end
    int depth


cdef class Plan:
    cdef object type  # whose values these are
    # The same as items of an array; None where there is none. (With a dtype's own type whoever cimports this
    # would need numpy's headers.)
    cdef readonly object dtype
    cdef Py_ssize_t size  # of every value; -1: it depends on the value
    cdef Py_ssize_t least  # that any value takes
    cdef bint is_checked  # `check` has something to look at
    cdef tuple units  # of a fixed size: (bytes, how many) of each number in it, for another byte order

    cdef int write(self, object value, Out *out) except -1
    cdef object read(self, In *data)

    # Of a fixed size, in this machine's byte order; `check` refuses, before `load`, what no value is stored as.
    cdef int store(self, object value, char *out) except -1
    cdef object load(self, const char *data)
    cdef int check(self, const char *data) except -1

    cdef Py_ssize_t shortest(self)
    cdef int swap(self, char *data) noexcept


cdef class Product(Plan):
    cdef tuple plans
    cdef tuple names

    cdef int set_plans(self, tuple plans) except -1
    cdef int enter_slow(self, object value) except -1
    cdef object part(self, object value, Py_ssize_t i)
    cdef object begin(self)
    cdef int add(self, object made, Py_ssize_t i, object part) except -1
    cdef object finish(self, object made)
    cdef int say_where(self, object error, Py_ssize_t i) except -1


cdef class Dataclass(Product):
    pass


cdef Dataclass dataclass_plan(object cls)
