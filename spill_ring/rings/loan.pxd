"""A block of a ring's own memory, lent for the length of a `with`."""


cdef class Loan:
    cdef object ring
    cdef Py_ssize_t count  # items asked for
    cdef Py_ssize_t lent  # items in the block that `begin` returned
    cdef long long number  # of the reservation or read
    cdef long long deadline  # by which the items have to be there
    cdef object (*begin)(object ring, Loan loan)  # returns the block
    cdef int (*end)(object ring, Loan loan, bint raised) except -1


cdef Loan lend(
    object ring, object count, object (*begin)(object, Loan), int (*end)(object, Loan, bint) except -1
)
