"""The consumer of one ring, or of several together: what there is for it, and waiting for it."""
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree

from spill_ring.park cimport NO_WAIT, Parking, ask_for, awaited, wait_for
from spill_ring.spsc cimport (
    sr_await_no_more, sr_shared, sr_spsc, sr_spsc_available, sr_spsc_await_items, sr_spsc_is_closed,
)


cdef extern from "Python.h" nogil:
    unsigned long PyThread_get_thread_ident()
    const Py_ssize_t PY_SSIZE_T_MAX


cdef class Consumer:
    """Of up to `room` rings, which outlive it. Not made by hand."""

    def __cinit__(self, Py_ssize_t room):
        self.room = room
        self.rings.rings = <sr_shared **>PyMem_RawCalloc(room, sizeof(sr_shared *))
        if self.rings.rings == NULL:
            raise MemoryError(f"no memory for {room} rings")
        self.parking = Parking()

    def __dealloc__(self):
        PyMem_RawFree(self.rings.rings)

    cdef int add(self, sr_shared *ring) except -1:
        """A ring that is to wake this consumer; before anybody waits."""
        if self.rings.count == self.room:
            raise IndexError(f"there is room for {self.room} rings")
        self.rings.rings[self.rings.count] = ring
        self.rings.count += 1
        ring.core.consumer.context = self.parking.place
        return 0

    cdef Py_ssize_t available(self) noexcept nogil:
        return available(&self.rings)

    cdef bint wait(self, Py_ssize_t n, long long deadline) except -1 nogil:
        cdef awaited items = items_of(&self.rings, n)
        if deadline == NO_WAIT:
            return available(&self.rings) >= n
        set_thread(&self.rings, PyThread_get_thread_ident())
        try:
            return wait_for(self.parking, &items, deadline) and were_there(&self.rings, n)
        finally:
            set_thread(&self.rings, 0)

    cdef int listen(self) except -2:
        cdef int fd = self.parking.fileno()
        if not self.parking.listen():
            raise RuntimeError("these rings are waited for in an event loop already, and share one wake")
        return fd

    cdef bint ask(self, Py_ssize_t n) noexcept:
        cdef awaited items = items_of(&self.rings, n)
        return ask_for(&items)

    cdef bint listen_no_more(self, Py_ssize_t n) noexcept:
        cdef awaited items = items_of(&self.rings, n)
        await_items_no_more(&items)
        self.parking.listen_no_more()
        return were_there(&self.rings, n)


cdef awaited items_of(const merged *rings, Py_ssize_t n) noexcept nogil:
    cdef awaited items
    items.context, items.count = <void *>rings, n
    items.is_there, items.arm, items.disarm = items_are_there, await_items, await_items_no_more
    return items


cdef void set_thread(const merged *rings, unsigned long thread) noexcept nogil:
    """A signal handler may run during a wait, and fork."""
    cdef Py_ssize_t i
    for i in range(rings.count):
        rings.rings[i].consumer.thread = thread


cdef Py_ssize_t available(const merged *rings) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t count = 0
    for i in range(rings.count):
        count += <Py_ssize_t>sr_spsc_available(&rings.rings[i].core)
    return count


cdef bint are_closed(const merged *rings) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rings.count):
        if not sr_spsc_is_closed(&rings.rings[i].core):
            return False
    return True


cdef bint items_are_there(const awaited *what) noexcept nogil:
    cdef const merged *rings = <const merged *>what.context
    # The end first: then what is seen after it is all there will ever be.
    return are_closed(rings) or available(rings) >= what.count


cdef bint were_there(const merged *rings, Py_ssize_t n) noexcept nogil:
    """After a wait: not only the end. Of rings that are open they may have been evicted since."""
    return not are_closed(rings) or available(rings) >= n


cdef void await_items(const awaited *what) noexcept nogil:
    """If no ring gets its share of what is missing, the sum is not reached: so only that wakes."""
    cdef const merged *rings = <const merged *>what.context
    cdef sr_spsc *core
    cdef Py_ssize_t there, seen, share, i, found
    cdef bint full
    while True:
        there = available(rings)
        share = (max(1, what.count - there) + rings.count - 1) // rings.count
        seen = 0
        for i in range(rings.count):
            core = &rings.rings[i].core
            found = <Py_ssize_t>sr_spsc_available(core)
            seen += found
            # A full one gets no more, so only its end wakes. What is held takes no room in it.
            full = found - <Py_ssize_t>core.held_count >= <Py_ssize_t>core.capacity
            sr_spsc_await_items(core, PY_SSIZE_T_MAX if full else found + share)
        # What came between the two looks is in no share: once more, or it would not be counted.
        if seen <= there or seen >= what.count:
            return


cdef void await_items_no_more(const awaited *what) noexcept nogil:
    cdef const merged *rings = <const merged *>what.context
    cdef Py_ssize_t i
    for i in range(rings.count):
        sr_await_no_more(&rings.rings[i].core.consumer)
