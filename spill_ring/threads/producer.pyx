"""The producer's side of a ring between two threads: pushing, reserving, and the end of the stream."""
cimport cython
cimport numpy as cnp
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject

from spill_ring._core.arguments cimport count_of
from spill_ring._core.block cimport (
    GIL_RELEASE_BYTES, as_number, copy_block, is_block, is_like_item, new_block, view_block,
)
from spill_ring._core.chain cimport ensure_atomic
from spill_ring._core.conversion cimport is_array_like
from spill_ring._core.cpython cimport (
    Py_DECREF, Py_INCREF, PyFloat_AS_DOUBLE, PySequence_Fast_ITEMS, PyThread_get_thread_ident,
)
from spill_ring._core.guard cimport (
    SR_BUSY, SR_CLOSED, SR_GONE, SR_NEW, SR_OPEN, sr_state_cas, sr_state_load, sr_state_store, sr_try_lock, sr_unlock,
)
from spill_ring._core.methods cimport add_methods
from spill_ring._core.scalar cimport scalar_index
from spill_ring._core.sink cimport Sink
from spill_ring._core.status cimport (
    SPILL_RING_BAD_COUNT, SPILL_RING_FAILED, SPILL_RING_FULL, UNFINISHED, raise_scalar, raise_status,
)
from spill_ring.rings.loan cimport Loan, lend
from spill_ring.serialization.record cimport SMALL_ITEM, item_block, items_block, make_item
from spill_ring.threads.core cimport (
    SR_CACHE_LINE, SR_FULL, adopt_fork, sr_deliver, sr_index, sr_next_slot, sr_publish, sr_pushed,
    sr_spsc_close, sr_spsc_commit, sr_spsc_has_room, sr_spsc_push, sr_spsc_reserve,
    sr_spsc_room, sr_spsc_state, sr_spsc_try_push,
)
from spill_ring.threads.eviction cimport SinkContext, empty_trash, release_sink, take_trash
from spill_ring.threads.parking cimport FOREVER, deadline_of
from spill_ring.threads.references cimport push_references
from spill_ring.threads.room cimport await_room_or_end, room_is_there
from spill_ring.threads.taker cimport forget_taker, is_consumer_gone

from itertools import islice

from spill_ring.threads.errors import ConsumerGoneError

cnp.import_array()


cdef extern from "methods.h":
    void sr_install_fast_push(object method, void *push_one)


cdef int DOUBLE = scalar_index(<double *>NULL)


cdef int push_waiting(
    ProducerSide ring, const void *items, Py_ssize_t count, long long deadline, Py_ssize_t *taken
) except -1 nogil:
    cdef Py_ssize_t pushed
    cdef Py_ssize_t done = 0
    while True:
        pushed = <Py_ssize_t>sr_spsc_try_push(ring.core, <const char *>items + done * ring.itemsize, count - done)
        done += pushed
        taken[0] += pushed
        if done == count:
            return 0
        # Wait for room for one item only. A consumer that waits for more items than there are would else wait for a
        # producer that waits for more room than there is.
        if not ring.wait_room(1, deadline):
            return SPILL_RING_FULL


@cython.no_gc_clear
cdef class ProducerSide(Sink):
    """What the producer of an `SpscRing` uses, and what both sides share. Not made by hand."""

    def __cinit__(self, *args, **kwargs):
        cdef size_t address
        self.is_guarded = True
        self.state = SR_NEW
        self.memory = PyMem_RawCalloc(1, sizeof(sr_spsc_state) + SR_CACHE_LINE)
        if self.memory == NULL:
            raise MemoryError("no memory for the state of a ring between threads")
        # Python aligns objects for no more than 16 bytes, so what needs a cache line of its own lies outside of them.
        address = (<size_t>self.memory + SR_CACHE_LINE - 1) & ~<size_t>(SR_CACHE_LINE - 1)
        self.shared = <sr_spsc_state *>address
        self.core = &self.shared.core
        self.shared.consumer.state = SR_NEW
        self.shared.ring = <void *>self
        self.shared.sink_state = SR_NEW
        self.shared.taker.core = self.core

    def __init__(self):
        raise TypeError("ProducerSide is a part of what an SpscRing is; make one of those")

    def __dealloc__(self):
        empty_trash(&self.evicted)
        if self.memory != NULL:
            forget_taker(self.shared)
        PyMem_RawFree(self.memory)

    # -- entering and raising -------------------------------------------------------------------------

    cdef int enter_slow(self, int state) except -1 nogil:
        if adopt_fork(&self.state, state):
            return 0
        if state == SR_GONE and sr_state_cas(&self.state, SR_GONE, SR_BUSY) == SR_GONE:
            try:
                return self.raise_gone()
            finally:
                self.leave_gone()
        # SR_OPEN: the other thread has left meanwhile.
        return self.raise_for_state(SR_BUSY if state == SR_OPEN else state)

    # -- waiting ---------------------------------------------------------------------------------

    cdef bint wait_room(self, Py_ssize_t count, long long deadline) except -1 nogil:
        cdef bint is_there
        self.thread = PyThread_get_thread_ident()
        try:
            is_there = await_room_or_end(self.shared, self.producer_parking, count, deadline)
        finally:
            self.thread = 0
        if is_there and not room_is_there(self.core, count):
            self.raise_gone()
        return is_there

    cdef int enter_to_end(self) except -1:
        """Enter to send on or end what is here, also after `abandon`."""
        return 0 if sr_state_cas(&self.state, SR_GONE, SR_BUSY) == SR_GONE else self.enter()

    cdef Py_ssize_t send_resident(self) except -1:
        """Send to the sink, if there is one, what a consumer that is gone left here."""
        return 0

    cdef void leave_gone(self) noexcept nogil:
        """Leave, and keep calls that begin after `abandon` from pushing."""
        self.leave()
        if self.shared.taker.is_abandoned:
            sr_state_cas(&self.state, SR_OPEN, SR_GONE)

    cdef int raise_gone(self) except -1 with gil:
        """Raise that nobody will take from the ring. The caller has entered the producer's side."""
        how = "it was abandoned" if self.shared.taker.is_abandoned else "the thread that took last ended"
        raise ConsumerGoneError(f"nobody will take from {self!r}: {how}")

    cdef int raise_unpushed(self, int status, Py_ssize_t count) except -1 nogil:
        """Raise what a status says that a push returned."""
        if status == SPILL_RING_FULL and is_consumer_gone(self.shared):
            return self.raise_gone()
        return raise_status(self, status, count, self.size)

    cdef long long deadline(self, object timeout) except -1:
        """The deadline of a push with a timeout."""
        if timeout is not None and not self.is_blocking:
            raise ValueError("a timeout is only for a ring with overflow='block', since no other ring's push waits")
        return deadline_of(timeout)

    # -- the producer's side ---------------------------------------------------------------------

    cdef int push_entered(
        self, const void *items, Py_ssize_t count, long long deadline, Py_ssize_t *taken
    ) except -1 nogil:
        """Push a run, and raise queue.Full if there is no room. The caller has entered the producer's side."""
        cdef Py_ssize_t before = taken[0]
        cdef int status = push_unless_full(self, items, count, deadline, taken, True)
        return self.raise_unpushed(status, count - (taken[0] - before)) if status else 0

    cdef int push_copied(
        self, const void *items, Py_ssize_t count, long long deadline, Py_ssize_t *taken
    ) except -1 with gil:
        block = copy_block(self.item_type, items, count)
        return push_unless_full(self, cnp.PyArray_DATA(block), count, deadline, taken, False)

    def push(self, item, /, *, timeout=None):
        """Append as newest. The producer's. O(1).

        Parameters
        ----------
        item : scalar, array_like or object
            As for `ArrayRing.push`; any object without a dtype.
        timeout : float, optional
            Seconds to wait for room, only with ``overflow="block"``; for ever by default.

        Raises
        ------
        queue.Full
            There is no room: with ``overflow="reject"``, or when the time is over.
        ConsumerGoneError
            The consumer abandoned the ring; or there is no room, and the thread that took last has ended.
        ValueError
            The ring is closed.
        Exception
            Whatever the sink raises; then `item` was not appended.
        """
        if timeout is None:
            push_one(self, item)
        else:
            self.push_any(item, self.deadline(timeout))

    cdef int push_any(self, object item, long long deadline) except -1:
        cdef long long small[SMALL_ITEM]
        cdef const void *converted = small
        cdef Py_ssize_t taken = 0
        cdef PyObject *pointer = <PyObject *>item
        cdef cnp.ndarray block
        if self.item_type is None:
            return self.extend_objects(&pointer, 1, deadline)
        if as_number(item, self.scalar, small):
            pass
        elif is_like_item(item, self.item_type):
            converted = cnp.PyArray_DATA(item)
        elif self.itemsize <= <Py_ssize_t>sizeof(small):
            make_item(self.record, item, self.item_type, <char *>small)
        else:
            block = item_block(self.record, item, self.item_type)
            converted = cnp.PyArray_DATA(block)
        self.enter()
        try:
            if self.is_blocking:
                with nogil:
                    self.push_entered(converted, 1, deadline, &taken)
            else:
                self.push_entered(converted, 1, deadline, &taken)
        finally:
            self.leave_gone()
        return 0

    def extend(self, items, /, *, timeout=None):
        """Push each item, oldest first, in runs. The producer's. O(n), at memcpy speed where `items` is a block.

        Parameters
        ----------
        items : array_like or iterable
            As for `ArrayRing.extend`, or any iterable of objects. Of a generator each item is pushed as
            it comes.
        timeout : float, optional
            Seconds to wait for room for all of them, only with ``overflow="block"``; for ever by default.

        Raises
        ------
        queue.Full
            There is no room. With ``overflow="reject"`` nothing was pushed; with ``"block"``, when the
            time is over, ``stats.pushed`` tells how many were.
        ConsumerGoneError
            As `push` does; ``stats.pushed`` tells how many were pushed.
        ValueError, TypeError, OverflowError
            The ring is closed, or not items of its dtype; then nothing was pushed.
        Exception
            Whatever the sink raises; ``stats.pushed`` tells how many items were taken.
        """
        cdef long long deadline = self.deadline(timeout)
        if self.item_type is None:
            if isinstance(items, (list, tuple)):
                items = tuple(items)  # nobody can change it meanwhile
                self.extend_objects(PySequence_Fast_ITEMS(items), len(items), deadline)
                return
        elif is_block(items, self.item_type):
            self.extend_typed(items, deadline)
            return
        elif is_array_like(items):
            self.extend_typed(items_block(self.record, items, self.item_type), deadline)
            return
        for item in items:
            if timeout is None:
                self.push(item)
            else:
                self.push_any(item, deadline)

    cdef int extend_typed(self, object items, long long deadline) except -1:
        cdef const void *data = cnp.PyArray_DATA(<cnp.ndarray>items)
        cdef Py_ssize_t count = cnp.PyArray_DIM(<cnp.ndarray>items, 0)
        cdef Py_ssize_t taken = 0
        self.enter()
        try:
            if self.is_blocking or count * self.itemsize >= GIL_RELEASE_BYTES:
                with nogil:
                    self.push_entered(data, count, deadline, &taken)
            else:
                self.push_entered(data, count, deadline, &taken)
        finally:
            self.leave_gone()
        return 0

    cdef int extend_objects(self, PyObject **items, Py_ssize_t count, long long deadline) except -1:
        cdef Py_ssize_t taken = 0
        cdef SinkContext out
        self.enter()
        try:
            self.push_objects_entered(items, count, deadline, &taken)
        finally:
            out = take_trash(&self.evicted)
            self.leave_gone()
            empty_trash(&out)  # only now, since a destructor may push here
        return 0

    cdef int push_objects_entered(
        self, PyObject **items, Py_ssize_t count, long long deadline, Py_ssize_t *taken
    ) except -1:
        """`push_entered` for objects of the caller's: the ring takes a reference of its own to each that it takes."""
        cdef PyObject *one
        cdef PyObject **own = &one
        cdef Py_ssize_t i
        cdef Py_ssize_t done = 0
        if count > 1:
            own = <PyObject **>PyMem_RawMalloc(count * sizeof(void *))
            if own == NULL:
                raise MemoryError(f"no memory for references to {count} objects")
        for i in range(count):
            Py_INCREF(items[i])
            own[i] = items[i]
        try:
            if self.is_blocking:
                with nogil:
                    self.push_entered(own, count, deadline, &done)
            else:
                self.push_entered(own, count, deadline, &done)
        finally:
            taken[0] += done
            for i in range(done, count):
                Py_DECREF(own[i])
            if own != &one:
                PyMem_RawFree(own)
        return 0

    def try_push(self, item, /):
        """Append as newest if there is room; never evicts, never waits. The producer's. O(1).

        Returns
        -------
        bool
            Whether it was appended. There is no room either while the ring keeps what its sink refused: a `push`
            or `flush` sends that first.

        Raises
        ------
        ValueError
            The ring is closed.
        TypeError, OverflowError
            Not an item of the ring's dtype, as for `push`.
        """
        return self.try_extend([item] if self.item_type is None else item_block(self.record, item, self.item_type)) == 1

    def try_extend(self, items, /):
        """Push as many of the first items as there is room for; never evicts, never waits. The producer's. O(n).

        Parameters
        ----------
        items : array_like or iterable
            As for `extend`. No more is drawn from a generator than there is room for.

        Returns
        -------
        int
            How many were taken: none while the ring keeps what its sink refused, which a `push` or `flush` sends
            first.

        Raises
        ------
        ValueError
            The ring is closed, or the items have a wrong shape.
        TypeError, OverflowError
            Not items of the ring's dtype, as for `extend`.
        """
        cdef cnp.ndarray block
        self.enter()  # a closed ring says so
        try:
            room = sr_spsc_room(self.core, self.size)
            if room == 0 and not self.core.evicts and is_consumer_gone(self.shared):
                self.raise_gone()
        finally:
            self.leave_gone()
        if self.item_type is None:
            items = tuple(islice(iter(items), room))
            self.enter()
            try:
                return push_references(self.core, PySequence_Fast_ITEMS(items), len(items))
            finally:
                self.leave()
        if not is_array_like(items):
            items = list(islice(iter(items), room))
        block = items_block(self.record, items, self.item_type)
        return try_push_run(self, cnp.PyArray_DATA(block), cnp.PyArray_DIM(block, 0))

    cdef int push_block(self, const void *items, Py_ssize_t count) except -1 nogil:
        cdef int status
        ensure_atomic(self)
        status = push_status(self, items, count, True)
        if status == UNFINISHED:
            status = finish_push(self, items, count, True)
        return self.raise_unpushed(status, count) if status else 0

    cdef Py_ssize_t try_push_block(self, const void *items, Py_ssize_t count) except -1 nogil:
        ensure_atomic(self)
        return try_push_run(self, items, count)

    cdef int push_scalar(self, const void *value, int scalar) except -1 nogil:
        if scalar != self.scalar:
            return raise_scalar(self, scalar)
        return self.push_block(value, 1)

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        return self.push_entered(items, count, FOREVER, taken)

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        self.has_deferred = True
        return self.push_objects_entered(items, count, FOREVER, taken)

    cdef int run_deferred(self, int state) except -1:
        cdef SinkContext out = take_trash(&self.evicted)
        self.has_deferred = False
        sr_state_store(&self.state, state)
        empty_trash(&out)
        return 0

    cdef void *reserve(self, Py_ssize_t count) except NULL nogil:
        ensure_atomic(self)
        return reserve_run(self, count)

    cdef void *reserve_fallback(self, Py_ssize_t count) except NULL with gil:
        self.fallback_block = new_block(self.item_type, count)
        return cnp.PyArray_DATA(self.fallback_block)

    cdef int commit(self, Py_ssize_t count) except -1 nogil:
        ensure_atomic(self)
        return commit_run(self, count)

    cdef int commit_fallback(self, Py_ssize_t count) except -1 with gil:
        cdef Py_ssize_t taken = 0
        block, self.fallback_block = self.fallback_block, None
        return self.push_entered(cnp.PyArray_DATA(block), count, FOREVER, &taken)

    def close(self):
        """End the stream: nothing is pushed any more. The producer's. Closing again does nothing.

        What is in the ring can still be popped; then the consumer sees the end. The sink is closed once
        the ring is empty too: here, or when the consumer finds that out, or by `flush`, which sends on
        what nobody popped, as happens to a closed ring that is dropped and at interpreter exit. If the consumer is
        gone (see `abandon`), what is in the ring goes to the sink here.

        Raises
        ------
        Exception
            Whatever the sink raises: over items that it refused before, and then the ring stays open; or as it is
            closed, and then the ring is closed, and whatever finds the end next closes the sink again.
        """
        cdef SinkContext out
        cdef bint has_ended = False
        if sr_state_load(&self.state) == SR_CLOSED:
            return
        self.enter_to_end()
        try:
            if is_consumer_gone(self.shared):
                self.send_resident()
            elif self.core.pending_count:
                sr_deliver(self.core)
            sr_spsc_close(self.core)
            has_ended = True
        finally:
            out = take_trash(&self.evicted)
            if has_ended:
                sr_state_store(&self.state, SR_CLOSED)
            else:
                self.leave_gone()
            empty_trash(&out)
        release_sink(self.shared)


# -- what the methods for Python and those for Cython share ------------------------------------------------
#
# The caller has the GIL, or the producer's side is atomic.

cdef Py_ssize_t try_push_run(ProducerSide ring, const void *items, Py_ssize_t count) except -1 nogil:
    if count < 0:
        raise_status(ring, SPILL_RING_BAD_COUNT, count, ring.size)
    if ring.overlaps(items):
        return try_push_copy(ring, items, count)
    ring.enter()
    count = <Py_ssize_t>sr_spsc_try_push(ring.core, items, count)
    ring.leave()
    return count


cdef Py_ssize_t try_push_copy(ProducerSide ring, const void *items, Py_ssize_t count) except -1 with gil:
    block = copy_block(ring.item_type, items, count)
    return try_push_run(ring, cnp.PyArray_DATA(block), count)


cdef void *reserve_run(ProducerSide ring, Py_ssize_t count) except NULL nogil:
    cdef void *dest = NULL
    cdef int status = reserve_status(ring, count, &dest)
    if status == UNFINISHED:
        status = finish_reserve(ring, count, &dest, True)
    if status:
        ring.raise_unpushed(status, count)
    return dest


cdef int commit_run(ProducerSide ring, Py_ssize_t count) except -1 nogil:
    return end_commit(ring, commit_status(ring, count), count)


cdef int end_commit(ProducerSide ring, int status, Py_ssize_t count) except -1 nogil:
    if status == UNFINISHED:
        status = finish_commit(ring, count)
    return raise_status(ring, status, count, ring.reserved) if status else 0


# -- push ---------------------------------------------------------------------------------------------

cdef int push_one(ProducerSide self, object item) except -1:
    """Push a float, or an object for which there is room, if that calls no sink. `push_any` does all else."""
    cdef double value
    cdef size_t taken = 0
    cdef sr_index tail
    if self.scalar == DOUBLE:
        if isinstance(item, float) and sr_try_lock(&self.state):
            tail = sr_pushed(self.core)
            if tail != self.core.limit:
                (<double *>self.core.items)[tail & self.core.mask] = PyFloat_AS_DOUBLE(item)
                sr_publish(self.core, tail + 1)
                sr_unlock(&self.state)
                return 0
            if self.core.sink == NULL and self.core.evicts:
                value = PyFloat_AS_DOUBLE(item)
                sr_spsc_push(self.core, &value, 1, &taken)
                sr_unlock(&self.state)
                return 0
            sr_unlock(&self.state)
    elif self.slots != NULL and sr_try_lock(&self.state):
        if sr_spsc_has_room(self.core, 1):
            Py_INCREF(<PyObject *>item)
            (<PyObject **>sr_next_slot(self.core))[0] = <PyObject *>item
            sr_spsc_commit(self.core, 1)
            sr_unlock(&self.state)
            return 0
        sr_unlock(&self.state)
    return self.push_any(item, FOREVER)


sr_install_fast_push(ProducerSide.__dict__["push"], <void *>push_one)


# -- the second halves of reserve and commit -----------------------------------------------------------

cdef int finish_reserve(ProducerSide ring, Py_ssize_t count, void **dest, bint may_wait) except -1 nogil:
    cdef size_t n_contiguous
    cdef int status = SPILL_RING_FAILED
    try:
        if may_wait and ring.is_blocking:
            ring.wait_room(count, FOREVER)
        status = sr_spsc_reserve(ring.core, count, dest, &n_contiguous)
        if status == SR_FULL and may_wait and ring.core.evicts:  # a consumer is in the middle of a copy of those slots
            dest[0] = ring.reserve_fallback(count)
            status = 0
        elif status == SR_FULL:
            status = SPILL_RING_FULL
    finally:
        if status:
            ring.leave()
    if status == 0:
        open_reservation(ring, count)
    return status


cdef int finish_commit(ProducerSide ring, Py_ssize_t count) except -1 nogil:
    try:
        return ring.commit_fallback(count)
    finally:
        ring.leave()


# -- lending ------------------------------------------------------------------------------------------

cdef object begin_reservation(object lender, Loan loan):
    cdef ProducerSide ring = lender
    cdef void *dest
    if ring.item_type is None:
        raise TypeError(f"a {type(ring).__name__} of objects has no memory to write to: use push or extend")
    dest = reserve_run(ring, loan.count)
    loan.number = ring.reservations
    try:
        block = ring.fallback_block
        if block is None:
            block = view_block(ring.item_type, dest, loan.count, ring.storage, True)
    except BaseException:
        end_commit(ring, commit_numbered(ring, 0, loan.number), 0)
        raise
    return block


cdef int end_reservation(object lender, Loan loan, bint raised) except -1:
    cdef ProducerSide ring = lender
    cdef Py_ssize_t count = 0 if raised else loan.count
    return end_commit(ring, commit_numbered(ring, count, loan.number), count)


@cython.binding(True)
def reserve(ProducerSide self not None, n, /):
    """Fill the ring's own memory, without a copy: ``with ring.reserve(n) as block: block[:] = …``

    The producer's. As `ArrayRing.reserve`; with ``overflow="block"`` entering waits for room for all n, with
    ``"reject"`` it raises `queue.Full` where there is none. (A producer that waits for room for n beside a consumer
    that waits for m waits for ever if ``n + m`` is more than the capacity plus one.)

    If a consumer is in the middle of a copy of the slots that are needed, the block is a new array, which is pushed
    when the ``with`` ends. Of a typed ring, only this and a push of items that lie in the
    ring's own memory allocate.

    Parameters
    ----------
    n : int
        Items, at most the capacity.

    Returns
    -------
    context manager
        Of an ndarray of shape ``(n,) + dtype.shape``.

    Raises
    ------
    TypeError
        The ring holds objects.
    ValueError
        The ring is closed, or `n` is more than its capacity.
    queue.Full
        There is no room, with ``overflow="reject"``.
    """
    return lend(self, n, begin_reservation, end_reservation)


@cython.binding(True)
def commit(ProducerSide self not None, n, /):
    """Push the first `n` items of the block that `reserve` gave, and end the reservation. The producer's. O(1).

    Parameters
    ----------
    n : int
        At most what was reserved.

    Raises
    ------
    RuntimeError
        There is no open `reserve`.
    ValueError
        More than was reserved; the reservation stays.
    """
    commit_run(self, count_of(n))


add_methods(ProducerSide, (reserve, commit))
del reserve, commit
