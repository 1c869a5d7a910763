"""A ring between two threads: one pushes, one pops, and neither waits for the other unless it wants to.

The protocol is in ``include/spill_ring/spsc.h``. An `SpscRing` is a producer's side (`producer`) and a consumer of one
ring (`consumer`); here they are put together, with what belongs to both: memory, the end, and what any thread may ask.
"""
cimport cython
cimport numpy as cnp
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from cpython.object cimport PyObject

from spill_ring._core.arguments cimport capacity_of
from spill_ring._core.block cimport item_dtype, scalar_of, view_block
from spill_ring._core.chain cimport begin_init, make_atomic
from spill_ring._core.cpython cimport PY_SSIZE_T_MAX, PyTypeObject, traverseproc, visitproc
from spill_ring._core.guard cimport (
    SR_BUSY, SR_CLOSED, SR_GONE, SR_MAKING, SR_OPEN, SR_RESERVED, sr_add_fetch, sr_state_cas, sr_state_load,
    sr_state_store,
)
from spill_ring._core.lifecycle cimport flush_at_exit, warn_lost
from spill_ring._core.sink cimport NATIVE, DropSink, Sink, declare_traits
from spill_ring._core.status cimport SPILL_RING_BAD_COUNT, raise_status
from spill_ring._core.storage cimport allocate
from spill_ring.rings.loan cimport Loan, lend
from spill_ring.serialization.record cimport record_of
from spill_ring.sinks.function cimport as_sink
from spill_ring.threads.consumer cimport Consumer, enter_side
from spill_ring.threads.consumer_methods cimport add_consumer_methods
from spill_ring.threads.core cimport (
    sr_cleared, sr_deliver, sr_drained, sr_evicted, sr_finished, sr_index, sr_pushed, sr_spsc_claim, sr_spsc_count,
    sr_spsc_flush, sr_spsc_has_ended, sr_spsc_init, sr_spsc_is_closed, sr_spsc_pop, sr_spsc_release,
)
from spill_ring.threads.eviction cimport (
    SinkContext, empty_trash, release_sink, send_items_out, send_objects_out, take_trash,
)
from spill_ring.threads.fork cimport watch_forks
from spill_ring.threads.parking cimport Parking, deadline_of_pop
from spill_ring.threads.producer cimport ProducerSide, move_reserved
from spill_ring.threads.references cimport free_slots, pop_references, visit_slots
from spill_ring.threads.taker cimport is_consumer_gone

from types import GenericAlias

from spill_ring.rings.base import Stats

cnp.import_array()


cdef extern from "parking.h" nogil:
    void sr_wake_parked(void *parking)


@cython.no_gc_clear
@cython.trashcan(True)
cdef class SpscRing(ProducerSide):
    """SpscRing(capacity, dtype=None, sink=None, *, overflow="spill", evict_block=1)\n--\n
    A ring between two threads, a producer and a consumer, without a lock.

    Parameters
    ----------
    capacity : int
        Items it holds, at least 1.
    dtype : dtype, optional
        Of numpy items, as for `ArrayRing`. Without one the ring holds any Python objects.
    sink : sink, optional
        Gets the items that are evicted, oldest first, in the producer's thread, and at the end those that
        nobody popped. Without one they are dropped.
    overflow : {"spill", "reject", "block"}
        What a push into a full ring does: evict the oldest; raise `queue.Full`, and push nothing; or wait
        for the consumer.
    evict_block : int, default 1
        Items evicted at once, at least. With more than 1 a ring that spills is up to ``evict_block - 1``
        short of its capacity after it was full, and pushing single items from compiled code gets several
        times as fast.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `ArrayRing` does; also for an unknown `overflow`.

    Notes
    -----
    **Thread safety.** One thread at a time may use the producer's side (`push`, `extend`, `try_push`,
    `try_extend`, `reserve`, `commit`, `flush`, `close`) and one the consumer's (`pop`, `pop_many`,
    `pop_into`, `read`, `wait`, `drain`, `clear`, `blocks`, `ablocks`, `wait_async`, and `flush` of a closed
    ring); a second one gets a `RuntimeError`. Attributes, `len` and `stats` answer in any thread, and are
    exact when both sides are still. Long copies and all waits release the GIL.

    The producer never waits for the consumer (unless ``overflow="block"``). If a consumer is in the
    middle of a copy for so long that its slots are needed again, new items go straight to the sink.

    Memory for twice the capacity is allocated once, a power of two of items in whole pages. A push allocates memory
    for items only if they lie in this ring's own memory, which was lent before, and have to be copied first.

    >>> import threading
    >>> ring = SpscRing(1000, "i8", overflow="block")
    >>> total = 0
    >>> def consume():
    ...     global total
    ...     for block in ring.blocks():
    ...         total += block.sum()
    >>> consumer = threading.Thread(target=consume)
    >>> consumer.start()
    >>> with ring:
    ...     ring.extend(range(10_000))
    >>> consumer.join()
    >>> int(total)
    49995000
    """

    def __init__(self, capacity, dtype=None, sink=None, *, overflow="spill", evict_block=1):
        cdef Py_ssize_t size = capacity_of(capacity)
        cdef Py_ssize_t evicted_at_once = capacity_of(evict_block, "evict_block")
        record = record_of(dtype)
        cdef cnp.dtype item_type = None if dtype is None else item_dtype(dtype if record is None else record.dtype)
        cdef Sink target = None if sink is None else as_sink(sink)
        cdef Py_ssize_t itemsize = sizeof(void *) if item_type is None else item_type.itemsize
        check_options(size, itemsize, overflow, evicted_at_once)
        if target is not None:
            target.bind(item_type)
        if target is not None and item_type is not None:
            make_atomic(target)  # since long runs are sent without the GIL
        consumer = Consumer(1, item_type, record, False)
        parking = Parking()
        storage = None if item_type is None else allocate(2 * size, itemsize)
        cdef PyObject **slots = allocate_slots(size) if item_type is None else NULL
        try:
            begin_init(self, target)  # last, since all of the above may run Python
        except BaseException:
            PyMem_RawFree(slots)
            raise
        self.size = size
        self.item_type = item_type
        self.record = record
        self.itemsize = itemsize
        self.is_bound = True
        self.sink_as_given = sink
        self.target = None if type(target) is DropSink else target  # dropping needs no call
        self.is_blocking = overflow == "block"
        self.scalar = -1 if item_type is None else scalar_of(item_type)
        self.storage = storage
        self.slots = slots
        self.producer_parking = parking
        self.init_core(overflow == "spill", evicted_at_once)
        consumer.add(self.shared)
        self.consumer = consumer
        if self.target is not None:
            flush_at_exit(self)
        watch_forks(self)
        self.leave_consumer()
        self.leave()

    cdef int init_core(self, bint evicts, Py_ssize_t evicted_at_once) except -1:
        if self.slots != NULL:
            sr_spsc_init(self.core, self.slots, self.itemsize, self.size, n_slots(self.size))
            self.core.sink = send_objects_out  # also without a sink, since the references have to be dropped
        else:
            sr_spsc_init(self.core, self.storage.base, self.itemsize, self.size, self.storage.nbytes // self.itemsize)
            self.core.is_mirrored = self.storage.is_mirrored
            if self.target is not None:
                self.core.sink = send_items_out
        self.shared.sink = <void *>self.target if self.target is not None else NULL
        self.evicted.sink = self.shared.sink
        self.evicted.thread = &self.thread
        self.core.sink_context = &self.evicted
        self.core.evicts = evicts
        if evicts:
            declare_traits(self, SpscRing, NATIVE)
        self.core.evict_block = evicted_at_once
        self.core.wake = sr_wake_parked
        self.core.producer.context = self.producer_parking.place
        return 0

    @classmethod
    def __class_getitem__(cls, item):
        """``SpscRing[str, list[str]]``, for annotations."""
        return GenericAlias(cls, item)

    def __dealloc__(self):
        if self.slots != NULL:
            free_slots(self.core)

    # -- the consumer's side ---------------------------------------------------------------------

    cdef bint wait_items(self, Py_ssize_t count, long long deadline) except -1 nogil:
        return self.consumer.wait(count, deadline)

    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil:
        if count < 0:
            raise_status(self, SPILL_RING_BAD_COUNT, count, self.size)
        self.consumer.ensure_sides_atomic()
        self.enter_consumer()
        count = <Py_ssize_t>sr_spsc_pop(self.core, out, count)
        self.leave_consumer()
        return count

    def read(self, n=None, *, timeout=0):
        """Read the oldest items where they are, without a copy: ``with ring.read(n) as block: …``

        The consumer's. Nobody writes to the block until the ``with`` ends, and then it has been removed.
        If the ``with`` raises, its items stay and come first in whatever the consumer does next.

        Parameters
        ----------
        n : int, optional
            How many, at most: the capacity by default. Fewer come if there are fewer, or if the ring's memory
            ends between them (where memory can't be mapped twice).
        timeout : float or None
            Seconds to wait for at least one; None waits for ever, or until the ring is closed.

        Returns
        -------
        context manager
            Of a read-only ndarray, or of a list of objects. Afterwards the array shows whatever comes to lie there.
            Entering raises `RuntimeError` where another thread is on the consumer's side, or a `read` is open.

        Raises
        ------
        ValueError
            `n` is negative.

        Examples
        --------
        >>> ring = SpscRing(4, "f8")
        >>> ring.extend([1, 2, 3])
        >>> with ring.read(2) as block:
        ...     float(block.mean())
        1.5
        >>> len(ring)
        1
        """
        cdef Loan loan = lend(self, self.size if n is None else n, begin_read, end_read)
        loan.deadline = deadline_of_pop(timeout)
        return loan

    cdef object claim_block(self, Py_ssize_t n, long long deadline):
        cdef Py_ssize_t i
        cdef Py_ssize_t count = 0
        cdef const void *items = NULL
        while count == 0 and n and self.consumer.wait_gil(1, deadline):
            count = <Py_ssize_t>sr_spsc_claim(self.core, n, &items)
        if self.item_type is not None:
            return view_block(self.item_type, <void *>items if count else self.core.items, count, self.storage, False)
        return [<object>(<PyObject **>items)[i] for i in range(count)]

    # -- the end --------------------------------------------------------------------------------

    def flush(self):
        """Send everything resident to the sink, then flush the sink. The producer's. O(n).

        While an open ring rejects or blocks, its items wait for the consumer, and only the sink is flushed.
        If the consumer is gone (see `abandon`), they go to the sink like all others.
        After `close` this is the consumer's, and the way to send on what nobody popped; it then closes the sink.

        Returns
        -------
        int
            Items sent. Without a sink there is nowhere to send them, so they stay, and it is 0.

        Raises
        ------
        ValueError
            The ring is closed, and has no sink or has released it.
        Exception
            Whatever the sink raises; what it didn't take is still in the ring.
        """
        cdef sr_index before
        cdef SinkContext out
        if sr_state_load(&self.state) == SR_CLOSED:
            if self.target is None or sr_state_load(&self.shared.sink_state) == SR_CLOSED:
                self.raise_for_state(SR_CLOSED)
            return self.flush_all()
        self.enter_to_end()
        try:
            if is_consumer_gone(self.shared):
                return self.send_resident()
            before = sr_evicted(self.core)
            if self.sink_as_given is not None and self.core.evicts:
                if self.item_type is None:
                    sr_spsc_flush(self.core)
                else:
                    with nogil:
                        sr_spsc_flush(self.core)
            if self.target is not None and sr_state_load(&self.target.state) != SR_CLOSED:
                self.target.flush()
            return sr_evicted(self.core) - before
        finally:
            out = take_trash(&self.evicted)
            self.leave_gone()
            empty_trash(&out)

    cdef Py_ssize_t flush_all(self) except -1:
        """Flush, with the items that wait for the consumer."""
        cdef SinkContext out = SinkContext(NULL, NULL, NULL, 0, 0)
        self.enter_consumer()
        try:
            return self.send_rest(&out)
        finally:
            self.leave_consumer()
            empty_trash(&out)

    cdef Py_ssize_t send_rest(self, SinkContext *out) except -1:
        """Send all that is left to the sink, oldest first. The caller has entered the consumer's side, and nobody
        pushes."""
        cdef Py_ssize_t sent = 0
        cdef sr_index before = sr_evicted(self.core)
        if self.core.claimed_count and self.core.pending_count and self.core.claimed < self.core.pending:
            sent += self.consumer.send_to(self.target, self.core.claimed_count, out)
        if self.core.pending_count:
            sr_deliver(self.core)
            sent += sr_evicted(self.core) - before
        sent += self.consumer.send_to(self.target, PY_SSIZE_T_MAX, out)
        if sr_state_load(&self.state) == SR_CLOSED:
            release_sink(self.shared)
        elif sr_state_load(&self.target.state) != SR_CLOSED:
            self.target.flush()
        return sent

    def abandon(self):
        """Say that nobody will take from the ring any more. The consumer's, though any thread may call it.

        The producer gets a `ConsumerGoneError` from a call that waits, and from each that wants to push after this;
        the item stays with it. What is in the ring goes to the sink with the producer's next call, with
        `close`, or as the ring is dropped. The same happens without this call where the thread that took last
        has ended and a push finds no room.

        >>> late = CollectSink()
        >>> ring = SpscRing(4, "i8", late, overflow="block")
        >>> ring.extend([1, 2, 3])
        >>> ring.abandon()
        >>> ring.close()
        >>> late.items
        array([1, 2, 3])
        """
        self.check_initialised()
        self.shared.taker.is_abandoned = True
        sr_state_cas(&self.state, SR_OPEN, SR_GONE)
        self.producer_parking.wake()

    cdef Py_ssize_t send_resident(self) except -1:
        cdef SinkContext out = SinkContext(NULL, NULL, NULL, 0, 0)
        if self.target is None:
            return 0
        if not self.seize_consumer():
            enter_side(self.shared)  # which raises why not, unless it is free now
        try:
            return self.send_rest(&out)
        finally:
            self.leave_consumer()
            empty_trash(&out)

    cdef bint seize_consumer(self) noexcept:
        """Enter the consumer's side, if it is free or was left with an open `read` by a thread that has ended."""
        cdef int *state = &self.shared.consumer.state
        if sr_state_cas(state, SR_OPEN, SR_BUSY) == SR_OPEN:
            return True
        return self.shared.taker.has_ended and sr_state_cas(state, SR_RESERVED, SR_BUSY) == SR_RESERVED

    cdef int raise_gone(self) except -1 with gil:
        if self.was_told and self.seize_consumer():
            self.leave_consumer()
            self.send_resident()
        self.was_told = True
        return ProducerSide.raise_gone(self)

    def __del__(self):
        cdef SinkContext out = SinkContext(NULL, NULL, NULL, 0, 0)
        if self.target is None or sr_state_load(&self.state) <= SR_MAKING:
            return
        if sr_state_load(&self.shared.sink_state) == SR_CLOSED:
            return
        # No other thread knows the ring any more, but its sink may, and call back.
        sr_state_store(&self.shared.consumer.state, SR_BUSY)
        if sr_state_load(&self.state) != SR_CLOSED:
            sr_state_store(&self.state, SR_BUSY)
            sr_add_fetch(&self.target.n_users, -1)
        try:
            self.send_rest(&out)
        except BaseException as error:
            warn_lost(self, len(self), error)
        self.leave_consumer()
        if sr_state_load(&self.state) != SR_CLOSED:
            self.leave()
        empty_trash(&out)

    cdef int flush_pending(self) except -1:
        cdef bint is_closed = sr_state_load(&self.state) == SR_CLOSED
        if sr_state_load(&self.shared.sink_state) == SR_CLOSED or not is_closed and sr_spsc_count(self.core) == 0:
            return 0
        if self.core.evicts and not is_closed:
            self.flush()
        else:
            self.flush_all()
        return 0

    # -- any thread ------------------------------------------------------------------------------

    @property
    def capacity(self):
        """Items the ring holds when it is full."""
        return self.size

    @property
    def dtype(self):
        """The dtype of the items; None for objects."""
        return self.item_type

    @property
    def sink(self):
        """The sink, as it was given; None if evicted items are dropped."""
        return self.sink_as_given

    @property
    def overflow(self):
        """What a push into a full ring does: ``"spill"``, ``"reject"`` or ``"block"``."""
        return "spill" if self.core.evicts else "block" if self.is_blocking else "reject"

    @property
    def evict_block(self):
        """Items evicted at once, at least."""
        return self.core.evict_block

    @property
    def closed(self):
        """True once the ring is closed: nothing is pushed any more."""
        # The consumer can see the end, by wait() or `ended`, while close() is on its last steps.
        return sr_state_load(&self.state) == SR_CLOSED or sr_spsc_is_closed(self.core)

    @property
    def ended(self):
        """True once the ring is closed and empty: nothing will come any more."""
        return sr_spsc_has_ended(self.core)

    @property
    def stats(self):
        """Counts since the ring was made: `Stats`, a named tuple of ``pushed, popped, spilled, dropped``."""
        cdef sr_index drained = sr_drained(self.core)
        cdef sr_index cleared = sr_cleared(self.core)
        cdef sr_index evicted = sr_evicted(self.core)
        cdef sr_index dropped = evicted if self.target is None else 0
        popped = max(0, <long long>(sr_finished(self.core) - drained - cleared))
        return Stats(sr_pushed(self.core), popped, evicted - dropped + drained, dropped + cleared)

    @property
    def is_empty(self):
        """True when the ring holds nothing."""
        return sr_spsc_count(self.core) == 0

    @property
    def is_full(self):
        """True when the ring holds as much as it can."""
        return <Py_ssize_t>sr_spsc_count(self.core) >= self.size

    def __len__(self):
        return sr_spsc_count(self.core)

    def __bool__(self):
        return sr_spsc_count(self.core) != 0

    def __repr__(self):
        kind = "objects" if self.item_type is None else str(self.item_type)
        closed = ", closed" if sr_state_load(&self.state) == SR_CLOSED else ""
        return f"<SpscRing: {len(self)} of {self.size} {kind}, overflow={self.overflow!r}{closed}>"

    @property
    def capsule(self):
        """The ring for C: a PyCapsule of a ``spill_ring_interface``, which ``spill_ring/interface.h`` declares.

        It keeps the ring alive. Compiled code may call from any two threads: one pushes, one pops. A `TypeError` where
        the ring holds objects.
        """
        from spill_ring.interop.c_interface import capsule_of  # runs up, and only where it is asked for

        return capsule_of(self)

    @property
    def ctypes(self):
        """`capsule` as a ctypes structure, `spill_ring.interop.c_interface.Interface`; for numba too."""
        from spill_ring.interop.c_interface import ctypes_of

        return ctypes_of(self)

    @property
    def cffi(self):
        """`capsule` as a pointer of cffi's, which is imported for it; ModuleNotFoundError where it isn't there."""
        from spill_ring.interop.c_interface import cffi_of

        return cffi_of(self)


# -- memory ----------------------------------------------------------------------------------------------

cdef int check_options(Py_ssize_t size, Py_ssize_t itemsize, object overflow, Py_ssize_t evicted_at_once) except -1:
    if overflow not in ("spill", "reject", "block"):
        raise ValueError(f"overflow must be 'spill', 'reject' or 'block', not {overflow!r}")
    if evicted_at_once > size:
        raise ValueError(f"evict_block must be at most the capacity, {size}, not {evicted_at_once}")
    if size > PY_SSIZE_T_MAX // 32 // itemsize:
        raise MemoryError(f"{size} items of {itemsize} bytes are more than this machine can address")
    return 0


cdef Py_ssize_t n_slots(Py_ssize_t size) noexcept:
    """The power of two that has room for twice the capacity."""
    cdef Py_ssize_t count = 1
    while count < 2 * size:
        count *= 2
    return count


cdef PyObject **allocate_slots(Py_ssize_t size) except NULL:
    slots = <PyObject **>PyMem_RawCalloc(n_slots(size), sizeof(void *))
    if slots == NULL:
        raise MemoryError(f"no memory for {size} items")
    return slots


# -- lending ---------------------------------------------------------------------------------------------

cdef object begin_read(object lender, Loan loan):
    cdef SpscRing ring = lender
    ring.enter_consumer()
    try:
        block = ring.claim_block(loan.count, loan.deadline)
        loan.lent = len(block)
        ring.reads += 1
        loan.number = ring.reads
    except BaseException:
        ring.leave_consumer()
        raise
    sr_state_store(&ring.shared.consumer.state, SR_RESERVED)
    return block


cdef int end_read(object lender, Loan loan, bint raised) except -1:
    cdef SpscRing ring = lender
    cdef list _released  # which is freed when this returns
    if move_reserved(&ring.shared.consumer.state) != SR_RESERVED:
        return 0
    if ring.reads != loan.number:
        sr_state_store(&ring.shared.consumer.state, SR_RESERVED)
        return 0
    if not raised:
        if ring.item_type is None:
            _released = pop_references(ring.core, loan.lent)
        else:
            sr_spsc_release(ring.core, loan.lent)
    ring.leave_consumer()
    return 0


cdef PyObject *get_consumer(object ring) noexcept:
    return <PyObject *>(<SpscRing>ring).consumer


add_consumer_methods(SpscRing, get_consumer)


# -- garbage collection ----------------------------------------------------------------------------------

cdef PyTypeObject *type_slots = <PyTypeObject *>SpscRing
cdef traverseproc traverse_fields = type_slots.tp_traverse


cdef int traverse(PyObject *o, visitproc visit, void *arg) noexcept:
    cdef int result = traverse_fields(o, visit, arg)
    if result == 0 and (<SpscRing>o).slots != NULL:
        result = visit_slots((<SpscRing>o).core, visit, arg)
    return result


cdef int clear_slots(PyObject *o) noexcept:
    """Break the cycles that go through the items. The ring's own references stay, since half a ring is no use."""
    ring = <SpscRing>o
    cdef list dropped = []  # and freed when this returns
    if ring.slots != NULL and sr_state_load(&ring.shared.consumer.state) == SR_OPEN:
        ring.enter_consumer()
        ring.consumer.clear(dropped)
        ring.leave_consumer()
    return 0


type_slots.tp_traverse = traverse
type_slots.tp_clear = clear_slots
