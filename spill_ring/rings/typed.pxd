"""The memory of an `ArrayRing`, and what it does there without numpy."""
cimport cython
from libc.string cimport memcpy

from spill_ring._core.guard cimport SR_RESERVED, sr_state_store
from spill_ring._core.lending cimport LendingSink
from spill_ring._core.storage cimport Storage
from spill_ring.rings.base cimport Ring


cdef class TypedRing(Ring):
    cdef Storage storage
    cdef char *base
    cdef long long mask  # items in one turn of the memory, less one
    cdef int scalar  # `scalar_index` of the items' C type; -1 if they are no plain C numbers
    # While the ring is SR_WINDOW, `push_value` writes at `cursor` itself: up to a stop where there is room, and up to
    # an evicting stop where the ring is full and its sink lends slots, to which it moves the oldest. There is one stop
    # of each kind for each C type, and only those of the dtype are ever set, so the one comparison that finds the end
    # of the window finds a wrong type too.
    cdef char *stops[12]
    cdef char *evicting_stops[12]
    cdef Py_ssize_t oldest_offset  # bytes from `cursor` to the oldest item, up to an evicting stop
    cdef LendingSink lender  # the target, if it lends its memory
    cdef Py_ssize_t reserved  # items, while a reserve() is open
    cdef long long reservations  # how many there were: the number of the last one

    cdef int append_copy(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil

    @cython.final
    cdef inline char *run(self, long long position, Py_ssize_t count) noexcept nogil:
        """Where `count` resident items lie, made contiguous."""
        cdef Py_ssize_t offset = <Py_ssize_t>(position & self.mask) * self.itemsize
        self.storage.complete_read(offset, count * self.itemsize)
        return self.base + offset

    @cython.final
    cdef inline bint overlaps(self, const void *items) noexcept nogil:
        """Do the items lie in the ring's own memory, where a push would write over them?"""
        return self.base <= <char *>items < self.base + 2 * <Py_ssize_t>(self.mask + 1) * self.itemsize

    @cython.final
    cdef inline bint evicts_nothing(self, Py_ssize_t count) noexcept nogil:
        """May `count` items be written without a call to the sink? The ring is entered."""
        # as unsigned, so that a negative count is refused with those that are too large
        return <size_t>count <= <size_t>self.size and count <= self.limit - self.tail

    @cython.final
    cdef inline void write(self, const void *items, Py_ssize_t count) noexcept nogil:
        """Copy items to the slots that come next, which are free. The ring is entered."""
        cdef Py_ssize_t offset = <Py_ssize_t>(self.tail & self.mask) * self.itemsize
        memcpy(self.base + offset, items, count * self.itemsize)
        self.storage.complete_write(offset, count * self.itemsize)
        self.tail += count

    @cython.final
    cdef inline Py_ssize_t write_fitting(self, const void *items, Py_ssize_t count) noexcept nogil:
        """Copy as many as there are free slots for; returns how many. The ring is entered, and left."""
        count = min(count, self.size - self.sync_head())
        self.write(items, count)
        self.leave()
        return count

    @cython.final
    cdef inline void open_reservation(self, Py_ssize_t count, void **dest) noexcept nogil:
        """Leave the ring to its reserver. `count` slots are free."""
        self.reserved = count
        self.reservations += 1
        dest[0] = self.base + <Py_ssize_t>(self.tail & self.mask) * self.itemsize
        sr_state_store(&self.state, SR_RESERVED)


# The second halves of push and reserve (engine.pxd): the ring is entered, they leave it, and return a status.
cdef int finish_push(TypedRing ring, const void *items, Py_ssize_t count) except -1 nogil
cdef int finish_reserve(TypedRing ring, Py_ssize_t count, void **dest) except -1 nogil
