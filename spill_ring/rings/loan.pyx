"""A block of a ring's own memory, lent for the length of a `with`."""
from spill_ring._core.arguments cimport count_of

from types import GenericAlias


cdef class Loan:
    """What `reserve` and `read` return: the context in which a block of the ring's memory is written or read."""

    def __init__(self):
        raise TypeError("a Loan is made by a ring's reserve() or read()")

    @classmethod
    def __class_getitem__(cls, item):
        """``Loan[ndarray]``, for annotations."""
        return GenericAlias(cls, item)

    def __enter__(self):
        if self.begin == NULL:  # made by __new__
            raise RuntimeError("a Loan is made by a ring's reserve() or read()")
        return self.begin(self.ring, self)

    def __exit__(self, kind, error, trace):
        if self.begin != NULL:
            self.end(self.ring, self, kind is not None)


cdef Loan lend(
    object ring, object count, object (*begin)(object, Loan), int (*end)(object, Loan, bint) except -1
):
    cdef Loan loan = Loan.__new__(Loan)
    loan.ring = ring
    loan.count = count_of(count)
    loan.begin = begin
    loan.end = end
    return loan
