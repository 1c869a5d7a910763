"""A ring of numpy items, for Cython: `from spill_ring cimport ArrayRing`.

The methods here want no GIL. They refuse a second entry as the Python ones do, but where there is no
GIL, or it is released, `push_value` looks at nothing: one thread at a time is the caller's part, and so it is
for the `CollectSink` or `ArrayRing` behind it, into which it writes without a call.
"""
cimport cython
from libc.string cimport memcpy

from spill_ring._core.lending cimport LendingSink
from spill_ring.rings.base cimport Ring
from spill_ring._core.scalar cimport numeric, scalar_index
from spill_ring._core.storage cimport Storage


cdef class ArrayRing(Ring):
    cdef object record  # the Dataclass whose instances the items are; None: they are numpy's
    cdef Storage storage
    cdef char *base
    cdef long long mask  # items in one turn of the memory, less one
    cdef int scalar  # `scalar_index` of the items' C type; -1 if they are no plain C numbers
    # While SR_WINDOW, `push_value` writes at `next` itself: up to a stop where there is room, and up to an evicting
    # stop where the ring is full and its sink lends room, to which it moves the oldest. There is one of each for each
    # C type and only those of the dtype are ever set, so the one comparison that finds the end finds a wrong type too.
    cdef char *stops[12]
    cdef char *evicting_stops[12]
    cdef Py_ssize_t oldest_offset  # bytes from `next` to the oldest, up to an evicting stop
    cdef LendingSink lender  # the target, if it lends its memory
    cdef Py_ssize_t reserved  # items, while a reserve() is open
    cdef long long reservations  # how many there were: the number of the last

    # Push `count` items of the ring's dtype. Raises what the sink raises.
    cdef int push_block(self, const void *items, Py_ssize_t count) except -1 nogil
    # Remove up to `count` of the oldest; returns how many.
    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil
    # Room for `count` new items, contiguous, in the ring's own memory; makes it by evicting. The
    # ring refuses everything else until `commit` takes in the first `count` of what was written.
    cdef void *reserve(self, Py_ssize_t count) except NULL nogil
    cdef int commit(self, Py_ssize_t count) except -1 nogil

    # The same of a ring that is entered: they leave it.
    cdef int push_over(self, const void *items, Py_ssize_t count) except -1 nogil
    cdef Py_ssize_t pop_over(self, void *out, Py_ssize_t count) noexcept nogil
    cdef void *reserve_over(self, Py_ssize_t count) except NULL nogil
    cdef int commit_reserved(self, Py_ssize_t count) except -1 nogil

    cdef void *reserve_numbered(self, Py_ssize_t count, long long *number) except NULL nogil
    cdef int commit_numbered(self, Py_ssize_t count, long long number) except -1 nogil
    cdef int push_any(self, object item) except -1
    cdef int extend_block(self, object block) except -1
    cdef int append_copy(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil
    cdef int push_scalar(self, const void *value, int scalar) except -1 nogil
    cdef void open_push_window(self) noexcept nogil
    cdef int raise_scalar(self, int scalar) except -1 with gil
    cdef int raise_count(self, Py_ssize_t count, Py_ssize_t room) except -1 with gil
    cdef int raise_commit(self) except -1 with gil
    cdef char *run(self, long long position, Py_ssize_t count) noexcept nogil
    cdef object live(self)

    @cython.final
    cdef inline bint overlaps(self, const void *items) noexcept nogil:
        """Is this the ring's own memory, which a push would write over?"""
        return self.base <= <char *>items < self.base + 2 * <Py_ssize_t>(self.mask + 1) * self.itemsize

    @cython.final
    cdef inline bint evicts_nothing(self, Py_ssize_t count) noexcept nogil:
        """May `count` items be written with nobody asked? The ring is entered."""
        # as unsigned, so that a negative count is refused with those that are too large
        return <size_t>count <= <size_t>self.size and count <= self.limit - self.tail

    @cython.final
    cdef inline void write(self, const void *items, Py_ssize_t count) noexcept nogil:
        """Copy items to where the next ones go. The ring is entered, and has room for them."""
        cdef Py_ssize_t offset = <Py_ssize_t>(self.tail & self.mask) * self.itemsize
        memcpy(self.base + offset, items, count * self.itemsize)
        self.storage.complete_write(offset, count * self.itemsize)
        self.tail += count

    @cython.final
    cdef inline int push_value(self, numeric value) except -1 nogil:
        """Push one number of the C type that the dtype names, for loops that are compiled."""
        cdef numeric copy
        cdef int scalar = scalar_index(<numeric *>NULL)
        cdef char *place = self.cursor
        if place >= self.stops[scalar]:
            if place >= self.evicting_stops[scalar] or self.lender.cursor >= self.lender.window_end:
                copy = value  # so that `value` needs no address, and can stay in a register
                return self.push_scalar(&copy, scalar)
            (<numeric *>self.lender.cursor)[0] = (<numeric *>(place + self.oldest_offset))[0]
            self.lender.cursor += sizeof(numeric)
        (<numeric *>place)[0] = value
        self.cursor = place + sizeof(numeric)
        return 0
