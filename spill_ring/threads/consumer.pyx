"""The consumer of one ring between threads, or of several together: what there is for it, waiting and taking."""
cimport cython
cimport numpy as cnp
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree

from spill_ring._core.arguments cimport count_of
from spill_ring._core.block cimport GIL_RELEASE_BYTES, new_block
from spill_ring.threads.eviction cimport SinkContext, send_items_out, send_objects_out
from spill_ring.threads.parking cimport NO_WAIT, Parking, ask_for, awaited, wait_for
from spill_ring._core.sink cimport Sink
from spill_ring.threads.references cimport clear_references, pop_references
from spill_ring.threads.core cimport (
    sr_cancel_wake, sr_drained, sr_index, sr_spsc_state, sr_spsc, sr_spsc_available, sr_spsc_await_items, sr_spsc_clear,
    sr_spsc_drain, sr_spsc_is_closed, sr_spsc_pop,
)

cnp.import_array()


cdef extern from "Python.h" nogil:
    unsigned long PyThread_get_thread_ident()
    const Py_ssize_t PY_SSIZE_T_MAX


@cython.final
cdef class Consumer:
    """Of up to `room` rings, which outlive it. Not made by hand."""

    def __cinit__(self, Py_ssize_t room, item_type):
        self.room = room
        self.item_type = item_type
        self.rings.rings = <sr_spsc_state **>PyMem_RawCalloc(room, sizeof(sr_spsc_state *))
        if self.rings.rings == NULL:
            raise MemoryError(f"no memory for {room} rings")
        self.parking = Parking()

    def __dealloc__(self):
        PyMem_RawFree(self.rings.rings)

    cdef int add(self, sr_spsc_state *ring) except -1:
        """A ring that is to wake this consumer; before anybody waits."""
        if self.rings.count == self.room:
            raise IndexError(f"there is room for {self.room} rings")
        self.rings.rings[self.rings.count] = ring
        self.rings.count += 1
        ring.core.consumer.context = self.parking.place
        return 0

    cdef bint wait(self, Py_ssize_t n, long long deadline) except -1 nogil:
        cdef awaited items = items_of(&self.rings, n)
        if deadline == NO_WAIT:
            return available(&self.rings) >= n
        set_thread(&self.rings, PyThread_get_thread_ident())
        try:
            return wait_for(self.parking, &items, deadline) and were_there(&self.rings, n)
        finally:
            set_thread(&self.rings, 0)

    cdef bint wait_with_gil(self, Py_ssize_t n, long long deadline) except -1:
        with nogil:
            return self.wait(n, deadline)

    cdef Py_ssize_t take(self, char *out, Py_ssize_t count) noexcept nogil:
        return copy_out(&self.rings, out, count)

    cdef object pop_many(self, Py_ssize_t n, long long deadline, Py_ssize_t *taken):
        while n and self.find(1, deadline):
            items = take_items(self, min(n, available(&self.rings)), taken)
            if taken[0]:  # else the producers have evicted all of it meanwhile
                return items
        return take_items(self, 0, taken)

    cdef Py_ssize_t pop_into(self, void *out, Py_ssize_t room, long long deadline) except -1:
        cdef Py_ssize_t count = 0
        while count == 0 and self.find(1, deadline):
            count = copy_letting_go(&self.rings, out, room)
        return count

    cdef Py_ssize_t move_to(self, Sink sink, Py_ssize_t max, SinkContext *out) except -1:
        cdef Py_ssize_t i
        cdef Py_ssize_t moved = 0
        cdef sr_spsc_state *ring
        cdef sr_index before
        out.sink = <void *>sink
        set_thread(&self.rings, PyThread_get_thread_ident())
        try:
            for i in range(self.rings.count):
                ring = self.rings.rings[(self.rings.turn + i) % self.rings.count]
                before = sr_drained(&ring.core)
                out.thread = &ring.consumer.thread
                if self.item_type is not None:
                    with nogil:
                        sr_spsc_drain(&ring.core, max, send_items_out, out)
                else:
                    sr_spsc_drain(&ring.core, max, send_objects_out, out)
                moved += <Py_ssize_t>(sr_drained(&ring.core) - before)
        finally:
            set_thread(&self.rings, 0)
        next_turn(&self.rings)
        return moved

    cdef int drop_all(self, list dropped) except -1:
        cdef Py_ssize_t i
        for i in range(self.rings.count):
            if self.item_type is not None:
                sr_spsc_clear(&self.rings.rings[i].core, PY_SSIZE_T_MAX)
            else:
                clear_references(&self.rings.rings[i].core, dropped)
        return 0

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
    """A signal handler may run during a wait, and a sink during a drain, and fork: the child is inside of all rings."""
    cdef Py_ssize_t i
    for i in range(rings.count):
        rings.rings[i].consumer.thread = thread


cdef inline Py_ssize_t copy_out(merged *rings, char *out, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i, share, before
    cdef Py_ssize_t left = count
    cdef sr_spsc *core
    if rings.count == 1:
        return <Py_ssize_t>sr_spsc_pop(&rings.rings[0].core, out, count)
    while True:
        before = left
        for i in range(rings.count):
            core = &rings.rings[(rings.turn + i) % rings.count].core
            share = (left + rings.count - i - 1) // (rings.count - i)
            left -= <Py_ssize_t>sr_spsc_pop(core, out + (count - left) * core.itemsize, share)
        if left == 0 or left == before:
            break
    next_turn(rings)
    return count - left


cdef inline Py_ssize_t copy_letting_go(merged *rings, void *out, Py_ssize_t count) noexcept:
    """The same with the GIL, which is let go of where it takes long."""
    if count * <Py_ssize_t>rings.rings[0].core.itemsize >= GIL_RELEASE_BYTES:
        with nogil:
            return copy_out(rings, <char *>out, count)
    return copy_out(rings, <char *>out, count)


cdef inline list take_objects(merged *rings, Py_ssize_t count):
    cdef Py_ssize_t i, share, before
    cdef list taken
    if rings.count == 1:
        return pop_references(&rings.rings[0].core, count)
    taken = []
    while True:
        before = len(taken)
        for i in range(rings.count):
            share = (count - len(taken) + rings.count - i - 1) // (rings.count - i)
            taken += pop_references(&rings.rings[(rings.turn + i) % rings.count].core, share)
        if len(taken) == count or len(taken) == before:
            break
    next_turn(rings)
    return taken


cdef inline object take_items(Consumer self, Py_ssize_t count, Py_ssize_t *taken):
    cdef cnp.ndarray block
    cdef list objects
    if self.item_type is None:
        objects = take_objects(&self.rings, count)
        taken[0] = len(objects)
        return objects
    block = new_block(self.item_type, count)
    taken[0] = copy_letting_go(&self.rings, cnp.PyArray_DATA(block), count)
    return block if taken[0] == count else block[:taken[0]].copy()


cdef inline void next_turn(merged *rings) noexcept nogil:
    rings.turn = rings.turn + 1 if rings.turn + 1 < rings.count else 0


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
            full = found - <Py_ssize_t>core.claimed_count >= <Py_ssize_t>core.capacity
            sr_spsc_await_items(core, PY_SSIZE_T_MAX if full else found + share)
        # What came between the two looks is in no share: once more, or it would not be counted.
        if seen <= there or seen >= what.count:
            return


cdef void await_items_no_more(const awaited *what) noexcept nogil:
    cdef const merged *rings = <const merged *>what.context
    cdef Py_ssize_t i
    for i in range(rings.count):
        sr_cancel_wake(&rings.rings[i].core.consumer)


cdef Py_ssize_t block_size(object n, Py_ssize_t default) except -1:
    cdef Py_ssize_t count = default if n is None else count_of(n)
    if count == 0:
        raise ValueError("blocks of no items")
    return count


def iter_blocks(ring, n, /):
    while True:
        block = ring.pop_many(n, timeout=None)
        if len(block) == 0:
            return
        yield block
