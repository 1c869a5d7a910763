"""The consumer of one ring between threads, or of several together: waiting for items, and taking them."""
cimport cython
cimport numpy as cnp
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree

from spill_ring._core.block cimport GIL_RELEASE_BYTES, new_block, view_block
from spill_ring._core.conversion cimport cast_items
from spill_ring._core.cpython cimport PY_SSIZE_T_MAX, PyThread_get_thread_ident
from spill_ring._core.chain cimport make_atomic
from spill_ring._core.guard cimport SR_BUSY, SR_OPEN, SR_RESERVED, sr_state_make_atomic
from spill_ring._core.sink cimport Sink
from spill_ring.threads.core cimport (
    adopt_fork, sr_cancel_wake, sr_drained, sr_index, sr_spsc_state, sr_spsc, sr_spsc_available, sr_spsc_await_items,
    sr_spsc_claim, sr_spsc_clear, sr_spsc_drain, sr_spsc_is_closed, sr_spsc_pop, sr_spsc_release,
)
from spill_ring.threads.eviction cimport SinkContext, release_sink, send_items_out, send_objects_out
from spill_ring.threads.parking cimport NO_WAIT, Parking, arm_wake, awaited, wait_for
from spill_ring.threads.references cimport clear_references, pop_references

cnp.import_array()


@cython.final
cdef class Consumer:
    """Takes items from up to `n_rings` rings, which must outlive it. Not made by hand."""

    def __cinit__(self, Py_ssize_t n_rings, item_type, record, bint is_merging):
        self.allocated = n_rings
        self.item_type = item_type
        self.record = record
        self.is_merging = is_merging
        self.rings.rings = <sr_spsc_state **>PyMem_RawCalloc(n_rings, sizeof(sr_spsc_state *))
        if self.rings.rings == NULL:
            raise MemoryError(f"no memory for {n_rings} rings")
        self.parking = Parking()

    def __dealloc__(self):
        PyMem_RawFree(self.rings.rings)

    cdef int add(self, sr_spsc_state *ring) except -1:
        """Have a ring wake this consumer. It is called before anybody waits."""
        if self.rings.count == self.allocated:
            raise IndexError(f"a consumer of {self.allocated} rings can't get one more")
        self.rings.rings[self.rings.count] = ring
        self.rings.first = self.rings.rings[0]
        self.rings.count += 1
        self.capacity += <Py_ssize_t>ring.core.capacity
        ring.core.consumer.context = self.parking.place
        return 0

    cdef int make_sides_atomic(self) except -1 with gil:
        cdef Py_ssize_t i
        for i in range(self.rings.count):
            sr_state_make_atomic(&self.rings.rings[i].consumer.state)
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

    cdef bint wait_slow(self, Py_ssize_t n, long long deadline) except -1:
        cdef bint is_there = False
        if deadline != NO_WAIT:
            with nogil:
                is_there = self.wait(n, deadline)
        if not is_there:
            self.release_sinks()
        return is_there

    cdef Py_ssize_t pop_block(self, char *out, Py_ssize_t count) noexcept nogil:
        return copy_out(&self.rings, out, count)

    cdef object pop_many(self, Py_ssize_t n, long long deadline):
        cdef Py_ssize_t count
        cdef Py_ssize_t taken = 0
        while n:
            count = min(n, available(&self.rings))
            if count:
                items = take_items(self, count, &taken)
                if taken:  # else the producers have evicted all of it meanwhile
                    return items
            elif not self.wait_slow(1, deadline):
                break
        return take_items(self, 0, &taken)

    cdef Py_ssize_t pop_into(self, void *out, Py_ssize_t n_free, long long deadline) except -1:
        cdef Py_ssize_t count = 0
        while count == 0 and self.wait_gil(1, deadline):
            count = copy_out_gil(&self.rings, out, n_free)
        return count

    cdef Py_ssize_t pop_converted(self, object array, long long deadline) except -1:
        cdef Py_ssize_t count = 0
        while count == 0 and self.wait_gil(1, deadline):
            count = convert_out(&self.rings.rings[0].core, self.item_type, array)
        return count

    cdef Py_ssize_t send_to(self, Sink sink, Py_ssize_t max, SinkContext *out) except -1:
        cdef Py_ssize_t i
        cdef Py_ssize_t sent = 0
        cdef sr_spsc_state *ring
        cdef sr_index before
        if self.item_type is not None:
            make_atomic(sink)
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
                sent += <Py_ssize_t>(sr_drained(&ring.core) - before)
        finally:
            set_thread(&self.rings, 0)
        next_turn(&self.rings)
        return sent

    cdef int clear(self, list dropped) except -1:
        cdef Py_ssize_t i
        for i in range(self.rings.count):
            if self.item_type is not None:
                sr_spsc_clear(&self.rings.rings[i].core, PY_SSIZE_T_MAX)
            else:
                clear_references(&self.rings.rings[i].core, dropped)
        return 0

    cdef int release_sinks(self) except -1:
        cdef Py_ssize_t i
        for i in range(self.rings.count):
            if self.rings.rings[i].sink != NULL:
                release_sink(self.rings.rings[i])
        return 0

    cdef int listen(self) except -2:
        cdef int fd = self.parking.fileno()
        if not self.parking.listen():
            raise RuntimeError("an event loop waits for these rings already, and there is one wake for all of them")
        return fd

    cdef bint request_wake(self, Py_ssize_t n) noexcept:
        cdef awaited items = items_of(&self.rings, n)
        return arm_wake(&items)

    cdef bint unlisten(self, Py_ssize_t n) noexcept:
        cdef awaited items = items_of(&self.rings, n)
        await_items_no_more(&items)
        self.parking.unlisten()
        return were_there(&self.rings, n)


# -- the sides of the rings ----------------------------------------------------------------------------

cdef int enter_side_slow(sr_spsc_state *ring, int found) except -1 nogil:
    if adopt_fork(&ring.consumer.state, found):
        return 0
    return raise_for_side(ring, found)


cdef int raise_for_side(sr_spsc_state *ring, int found) except -1 with gil:
    if found == SR_RESERVED:
        raise RuntimeError(f"{type(<Sink>ring.ring).__name__} has an open read(): leave its 'with' block first")
    # SR_OPEN: the other thread has left meanwhile.
    return (<Sink>ring.ring).raise_for_state(SR_BUSY if found == SR_OPEN else found)


cdef int enter_sides(merged *rings) except -1 nogil:
    cdef Py_ssize_t entered = 0
    try:
        while entered < rings.count:
            enter_side(rings.rings[entered])
            entered += 1
    finally:
        if entered < rings.count:
            leave_sides(rings, entered)
    return 0


cdef void leave_sides(merged *rings, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        leave_side(rings.rings[i])


cdef void set_thread(const merged *rings, unsigned long thread) noexcept nogil:
    """Note which thread is in the sides: a signal handler in a wait, or a sink in a drain, may fork, and in the child
    that thread goes on inside of them."""
    cdef Py_ssize_t i
    for i in range(rings.count):
        rings.rings[i].consumer.thread = thread


# -- taking items ----------------------------------------------------------------------------------------

cdef inline Py_ssize_t fair_share(Py_ssize_t count, Py_ssize_t n_rings) noexcept nogil:
    """How many of `count` items the next one of `n_rings` rings should give."""
    return (count + n_rings - 1) // n_rings


cdef inline sr_spsc_state *ring_in_turn(const merged *rings, Py_ssize_t i) noexcept nogil:
    return rings.rings[(rings.turn + i) % rings.count]


cdef inline void next_turn(merged *rings) noexcept nogil:
    rings.turn = rings.turn + 1 if rings.turn + 1 < rings.count else 0


cdef sr_spsc *claim_one_of(merged *rings) noexcept nogil:
    cdef Py_ssize_t i
    cdef sr_spsc *core
    for i in range(rings.count):
        core = &ring_in_turn(rings, i).core
        if sr_claim(core, 1, False):
            next_turn(rings)
            return core
    return NULL


cdef inline Py_ssize_t copy_out(merged *rings, char *out, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i, before
    cdef Py_ssize_t left = count
    cdef sr_spsc *core
    if rings.count == 1:
        return <Py_ssize_t>sr_spsc_pop(&rings.rings[0].core, out, count)
    while True:
        before = left
        for i in range(rings.count):
            core = &ring_in_turn(rings, i).core
            left -= <Py_ssize_t>sr_spsc_pop(
                core, out + (count - left) * core.itemsize, fair_share(left, rings.count - i)
            )
        if left == 0 or left == before:
            break
    next_turn(rings)
    return count - left


cdef inline Py_ssize_t copy_out_gil(merged *rings, void *out, Py_ssize_t count) noexcept:
    """`copy_out` as a thread that has the GIL, which is released if the copy takes long."""
    if count * <Py_ssize_t>rings.rings[0].core.itemsize >= GIL_RELEASE_BYTES:
        with nogil:
            return copy_out(rings, <char *>out, count)
    return copy_out(rings, <char *>out, count)


cdef Py_ssize_t convert_out(sr_spsc *core, cnp.dtype item_type, object array) except -1:
    """Convert items of one ring into an array until the array is full or the ring is empty."""
    cdef Py_ssize_t part
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t n_free = len(array)
    cdef const void *items
    while count < n_free:
        part = <Py_ssize_t>sr_spsc_claim(core, n_free - count, &items)
        if part == 0:
            break
        block = view_block(item_type, <void *>items, part, None, False)  # needs no owner: it doesn't outlive this call
        try:
            array[count:count + part] = cast_items(block, array.dtype)
        except Exception:
            if count == 0:
                raise
            break  # The items before are removed, and these are still claimed: the next call raises.
        sr_spsc_release(core, part)
        count += part
    return count


cdef inline list take_objects(merged *rings, Py_ssize_t count):
    cdef Py_ssize_t i, before
    cdef list taken
    if rings.count == 1:
        return pop_references(&rings.rings[0].core, count)
    taken = []
    while True:
        before = len(taken)
        for i in range(rings.count):
            taken += pop_references(&ring_in_turn(rings, i).core, fair_share(count - len(taken), rings.count - i))
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
    taken[0] = copy_out_gil(&self.rings, cnp.PyArray_DATA(block), count)
    return block if taken[0] == count else block[:taken[0]].copy()


# -- what a wait for items asks --------------------------------------------------------------------------

cdef awaited items_of(const merged *rings, Py_ssize_t n) noexcept nogil:
    cdef awaited items
    items.context, items.count = <void *>rings, n
    items.other, items.is_over, items.is_certain = NULL, NULL, False
    items.is_there, items.arm, items.disarm = items_are_there, await_items, await_items_no_more
    return items


cdef bint are_closed(const merged *rings) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rings.count):
        if not sr_spsc_is_closed(&rings.rings[i].core):
            return False
    return True


cdef bint items_are_there(const awaited *what) noexcept nogil:
    cdef const merged *rings = <const merged *>what.context
    # Look for the end first: if the rings are closed, the items that are counted after that are all that will ever be.
    return are_closed(rings) or available(rings) >= what.count


cdef bint were_there(const merged *rings, Py_ssize_t n) noexcept nogil:
    """After a wait: are the items there, and not only the end? An open ring may have evicted them since."""
    return not are_closed(rings) or available(rings) >= n


cdef void await_items(const awaited *what) noexcept nogil:
    """Ask each ring for 1/n of the missing items. The total can't be reached unless one ring gets its share."""
    cdef const merged *rings = <const merged *>what.context
    cdef sr_spsc *core
    cdef Py_ssize_t there, seen, share, i, found
    cdef bint is_full
    while True:
        there = available(rings)
        share = fair_share(max(1, what.count - there), rings.count)
        seen = 0
        for i in range(rings.count):
            core = &rings.rings[i].core
            found = <Py_ssize_t>sr_spsc_available(core)
            seen += found
            # A full ring gets no more items, so only its end wakes the consumer. Claimed items take no room in it.
            is_full = found - <Py_ssize_t>core.claimed_count >= <Py_ssize_t>core.capacity
            sr_spsc_await_items(core, PY_SSIZE_T_MAX if is_full else found + share)
        # Items that came between the two looks are in no ring's share, so the shares have to be computed again.
        if seen <= there or seen >= what.count:
            return


cdef void await_items_no_more(const awaited *what) noexcept nogil:
    cdef const merged *rings = <const merged *>what.context
    cdef Py_ssize_t i
    for i in range(rings.count):
        sr_cancel_wake(&rings.rings[i].core.consumer)
