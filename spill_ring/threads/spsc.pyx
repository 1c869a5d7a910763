"""A ring between two threads: one pushes, one pops, and neither waits for the other unless it wants to.

The protocol is in ``include/spill_ring/spsc.h``; what the consumer waits for and takes is `consumer`'s. Here are the
producer's side, blocks that are lent, the end of the stream, forks, and the guards that make misuse an error.
"""
cimport cython
cimport numpy as cnp
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject

from spill_ring._core.arguments cimport capacity_of, count_of
from spill_ring._core.chain cimport begin_init, drop_user
from spill_ring._core.lifecycle cimport at_fork, flush_at_exit, warn_lost
from spill_ring._core.block cimport (
    GIL_RELEASE_BYTES, as_number, as_destination, copy_block, is_array_like, is_block, item_dtype, new_block, scalar_of, view_block,
)
from spill_ring.threads.consumer cimport Consumer, block_size
from spill_ring.sinks.function cimport as_sink
from spill_ring._core.guard cimport (
    SR_BUSY, SR_CLOSED, SR_FORKED, SR_MAKING, SR_NEW, SR_OPEN, SR_RESERVED, sr_add_fetch, sr_try_lock, sr_state_store, sr_unlock,
    sr_state_cas, sr_state_load,
)
from spill_ring.rings.loan cimport Loan, add_methods, lend
from spill_ring.threads.eviction cimport empty_trash, SinkContext, send_items_out, send_objects_out, take_trash
from spill_ring.threads.parking cimport FOREVER, NO_WAIT, Parking, awaited, deadline_of, wait_for
from spill_ring.serialization.record cimport item_block, items_block, load_item, record_of
from spill_ring._core.scalar cimport scalar_index
from spill_ring._core.sink cimport DropSink, NATIVE, Sink, declare_traits
from spill_ring.threads.references cimport free_slots, push_references, pop_references, visit_slots, visitproc
from spill_ring.threads.core cimport (
    SR_FULL, SR_CACHE_LINE, sr_cancel_wake, sr_claim, sr_cleared, sr_deliver, sr_drained, sr_evicted, sr_finish,
    sr_finished, sr_index, sr_next_slot, sr_publish, sr_pushed, sr_spsc_state, sr_slot, sr_spsc, sr_spsc_await_room,
    sr_spsc_claim, sr_spsc_close, sr_spsc_commit, sr_spsc_count, sr_spsc_flush, sr_spsc_has_ended, sr_spsc_has_room,
    sr_spsc_init, sr_spsc_is_closed, sr_spsc_pop, sr_spsc_push, sr_spsc_release, sr_spsc_reserve, sr_spsc_room,
    sr_spsc_try_push,
)
from spill_ring._core.storage cimport allocate

import weakref
from itertools import islice
from queue import Full
from types import GenericAlias

import numpy as np

from spill_ring.threads.event_loop import async_blocks, wait_async
from spill_ring.threads.consumer import iter_blocks
from spill_ring.rings.base import Stats

cnp.import_array()


cdef extern from "Python.h":
    double PyFloat_AS_DOUBLE(object o)
    void Py_INCREF(object o)
    void Py_DECREF(PyObject *o)
    PyObject **PySequence_Fast_ITEMS(object o)
    ctypedef int (*traverseproc)(PyObject *o, visitproc visit, void *arg) noexcept
    ctypedef int (*inquiry)(PyObject *o) noexcept
    ctypedef struct PyTypeObject:
        traverseproc tp_traverse
        inquiry tp_clear
    const Py_ssize_t PY_SSIZE_T_MAX
    unsigned long PyThread_get_thread_ident() nogil


cdef extern from "parking.h" nogil:
    void sr_wake_parked(void *parking)


cdef extern from *:
    """
    /* A push is so short that to look for keywords takes a seventh of it. So the method that Cython made is
     * called only where there are some. */
    typedef int (*sr_push_function)(PyObject *ring, PyObject *item);
    typedef PyObject *(*sr_method)(PyObject *ring, PyObject *const *args, Py_ssize_t count, PyObject *names);
    static sr_push_function sr_push_one;
    static sr_method sr_push_with_keywords;

    static PyObject *sr_push(PyObject *ring, PyObject *const *args, Py_ssize_t count, PyObject *names)
    {
        if (count != 1 || names != NULL)
            return sr_push_with_keywords(ring, args, count, names);
        if (sr_push_one(ring, args[0]) < 0)
            return NULL;
        Py_RETURN_NONE;
    }

    static void sr_install_fast_push(PyObject *method, void *push_one)
    {
        PyMethodDef *def = ((PyMethodDescrObject *)method)->d_method;
        if (def->ml_flags != (METH_FASTCALL | METH_KEYWORDS))
            return;
        sr_push_one = (sr_push_function)push_one;
        sr_push_with_keywords = (sr_method)(void (*)(void))def->ml_meth;
        def->ml_meth = (PyCFunction)(void (*)(void))sr_push;
    }
    """
    void sr_install_fast_push(object method, void *push_one)


cdef int DOUBLE = scalar_index(<double *>NULL)
cdef object ZERO = 0


@cython.no_gc_clear
@cython.trashcan(True)
cdef class SpscRing(Sink):
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
    exact when both sides are still. Long copies and all waits let go of the GIL.

    The producer never waits for the consumer (unless ``overflow="block"``). If a consumer is in the
    middle of a copy for so long that its slots are needed again, new items go straight to the sink.

    Memory for twice the capacity is allocated once, a power of two of items in whole pages. A push allocates none
    for items, but for a copy where they are this ring's own memory, lent before.

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

    def __cinit__(self, *args, **kwargs):
        cdef size_t address
        self.is_guarded = True
        self.state = SR_NEW
        self.memory = PyMem_RawCalloc(1, sizeof(sr_spsc_state) + SR_CACHE_LINE)
        if self.memory == NULL:
            raise MemoryError
        # An over-aligned field inside of an object would not be aligned.
        address = (<size_t>self.memory + SR_CACHE_LINE - 1) & ~<size_t>(SR_CACHE_LINE - 1)
        self.shared = <sr_spsc_state *>address
        self.core = &self.shared.core
        self.shared.consumer.state = SR_NEW

    def __init__(self, capacity, dtype=None, sink=None, *, overflow="spill", evict_block=1):
        cdef Py_ssize_t size = capacity_of(capacity)
        cdef Py_ssize_t at_once = capacity_of(evict_block, "evict_block")
        record = record_of(dtype)
        cdef cnp.dtype items = None if dtype is None else item_dtype(dtype if record is None else record.dtype)
        cdef Sink target = None if sink is None else as_sink(sink)
        cdef Py_ssize_t itemsize = sizeof(void *) if items is None else items.itemsize
        cdef Py_ssize_t physical = 1
        cdef Storage storage
        cdef PyObject **slots = NULL
        if overflow not in ("spill", "reject", "block"):
            raise ValueError(f"overflow must be 'spill', 'reject' or 'block', not {overflow!r}")
        if at_once > size:
            raise ValueError(f"evict_block must be at most the capacity, {size}, not {evict_block}")
        if size > PY_SSIZE_T_MAX // 32 // itemsize:
            raise MemoryError(f"{size} items of {itemsize} bytes are more than this machine can address")
        if target is not None:
            target.bind(items)
        if items is not None:
            storage = allocate(2 * size, itemsize)
        else:
            while physical < 2 * size:
                physical *= 2
            slots = <PyObject **>PyMem_RawCalloc(physical, sizeof(void *))
            if slots == NULL:
                raise MemoryError(f"no memory for {size} items")
        try:
            consumer = Consumer(1, items)
            parking = Parking()
            begin_init(self, target)  # asked last: all of the above may run Python
        except BaseException:
            PyMem_RawFree(slots)
            raise
        self.size = size
        self.item_type = items
        self.record = record
        self.itemsize = itemsize
        self.is_bound = True
        self.sink_as_given = sink
        self.target = None if type(target) is DropSink else target  # dropping needs no call
        self.is_blocking = overflow == "block"
        self.producer_parking = parking
        self.consumer = consumer
        if items is None:
            self.scalar = -1
            self.slots = slots
            sr_spsc_init(self.core, slots, itemsize, size, physical)
            self.core.sink = send_objects_out  # also where they are dropped: their references are let go of
        else:
            self.scalar = scalar_of(items)
            self.storage = storage
            sr_spsc_init(self.core, storage.base, itemsize, size, storage.nbytes // itemsize)
            self.core.is_mirrored = storage.is_mirrored
            if self.target is not None:
                self.core.sink = send_items_out
        self.core.sink_context = &self.evicted
        self.evicted.sink = <void *>self.target if self.target is not None else NULL
        self.evicted.thread = &self.thread
        self.core.evicts = overflow == "spill"
        if self.core.evicts:
            declare_traits(self, SpscRing, NATIVE)
        self.core.evict_block = at_once
        self.core.wake = sr_wake_parked
        self.core.producer.context = self.producer_parking.place
        self.consumer.add(self.shared)
        if self.target is not None:
            flush_at_exit(self)
        rings[id(self)] = self
        self.leave_consumer()
        self.leave()

    @classmethod
    def __class_getitem__(cls, item):
        """``SpscRing[str, list[str]]``, for annotations."""
        return GenericAlias(cls, item)

    def __dealloc__(self):
        if self.slots != NULL:
            free_slots(self.core)
        empty_trash(&self.evicted)
        PyMem_RawFree(self.memory)

    cdef int enter_slow(self, int state) except -1 nogil:
        return self.take_over(&self.state, state)

    cdef int raise_consumer(self, int found) except -1 with gil:
        return self.take_over(&self.shared.consumer.state, found)

    cdef int take_over(self, int *state, int found) except -1 with gil:
        if found == SR_FORKED and sr_state_cas(state, found, SR_BUSY) == found:
            return 0
        if found == SR_OPEN:  # it was left meanwhile
            found = SR_BUSY
        if found == SR_RESERVED and state == &self.shared.consumer.state:
            raise RuntimeError(f"{type(self).__name__} has an open read(): leave its 'with' block first")
        return self.raise_for_state(found)

    # Raising has functions of its own: one that makes Python objects takes the GIL when it returns.
    cdef int raise_full(self, Py_ssize_t count) except -1 with gil:
        raise Full(f"{type(self).__name__} has no room for {count} items: it holds {len(self)} of {self.size}")

    cdef int raise_count(self, Py_ssize_t count, Py_ssize_t room) except -1 with gil:
        raise ValueError(f"{count} items where there is room for {room}")

    cdef int raise_commit(self) except -1 with gil:
        raise RuntimeError(f"{type(self).__name__} has no open reserve() to commit")

    cdef int raise_scalar(self, int scalar) except -1 with gil:
        kind = ("unsigned int", "int", "float")[scalar // 4]
        raise TypeError(
            f"a C {kind} of {1 << scalar % 4} bytes for a {type(self).__name__} of dtype {self.item_type}"
        )

    # -- waiting ---------------------------------------------------------------------------------

    cdef bint wait_items(self, Py_ssize_t count, long long deadline) except -1 nogil:
        return self.consumer.wait(count, deadline)

    cdef bint wait_room(self, Py_ssize_t count, long long deadline) except -1 nogil:
        cdef awaited room
        room.context, room.count = self.core, count
        room.is_there, room.arm, room.disarm = room_is_there, await_room, await_room_no_more
        self.thread = PyThread_get_thread_ident()
        try:
            return wait_for(self.producer_parking, &room, deadline)
        finally:
            self.thread = 0

    cdef long long deadline(self, object timeout) except -1:
        """Of a push."""
        if timeout is not None and not self.is_blocking:
            raise ValueError("a push waits only with overflow='block', so there is no timeout to give")
        return deadline_of(timeout)

    # -- the producer's side ---------------------------------------------------------------------

    cdef int put(self, const void *items, Py_ssize_t count, long long deadline, Py_ssize_t *taken) except -1 nogil:
        """Push a run, whatever that means when there is no room. The producer's side is entered.

        With the GIL for objects, whose sink needs it in any case, unless the ring is a blocking one: it calls none,
        and waits without the GIL.
        """
        cdef Py_ssize_t put
        cdef Py_ssize_t done = 0
        if self.overlaps(items):
            return self.put_copy(items, count, deadline, taken)
        if not self.is_blocking:
            if sr_spsc_push(self.core, items, count, <size_t *>taken) == SR_FULL:
                self.raise_full(count)
            return 0
        while True:
            put = <Py_ssize_t>sr_spsc_try_push(self.core, <const char *>items + done * self.itemsize, count - done)
            done += put
            taken[0] += put
            if done == count:
                return 0
            # For one: a consumer that waits for more than there is must not wait for a producer that
            # waits for more room than there is.
            if not self.wait_room(1, deadline):
                self.raise_full(count - done)

    cdef int put_copy(
        self, const void *items, Py_ssize_t count, long long deadline, Py_ssize_t *taken
    ) except -1 with gil:
        block = copy_block(self.item_type, items, count)
        return self.put(cnp.PyArray_DATA(block), count, deadline, taken)

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
        cdef long long value  # or any smaller number
        cdef const void *converted = &value
        cdef Py_ssize_t taken = 0
        cdef PyObject *pointer = <PyObject *>item
        cdef cnp.ndarray block
        if self.item_type is None:
            return self.extend_objects(&pointer, 1, deadline)
        if not as_number(item, self.scalar, &value):
            block = item_block(self.record, item, self.item_type)
            converted = cnp.PyArray_DATA(block)
        self.enter()
        try:
            if self.is_blocking:
                with nogil:
                    self.put(converted, 1, deadline, &taken)
            else:
                self.put(converted, 1, deadline, &taken)
        finally:
            self.leave()
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
                    self.put(data, count, deadline, &taken)
            else:
                self.put(data, count, deadline, &taken)
        finally:
            self.leave()
        return 0

    cdef int extend_objects(self, PyObject **items, Py_ssize_t count, long long deadline) except -1:
        cdef Py_ssize_t taken = 0
        cdef SinkContext out
        self.enter()
        try:
            self.put_objects(items, count, deadline, &taken)
        finally:
            out = take_trash(&self.evicted)
            self.leave()
            empty_trash(&out)  # only now: a destructor may push here
        return 0

    cdef int put_objects(self, PyObject **items, Py_ssize_t count, long long deadline, Py_ssize_t *taken) except -1:
        """`put` for objects of the caller's: those taken get a reference of the ring's own."""
        cdef PyObject *one
        cdef PyObject **own = &one
        cdef Py_ssize_t i
        cdef Py_ssize_t done = 0
        if count > 1:
            own = <PyObject **>PyMem_RawMalloc(count * sizeof(void *))
            if own == NULL:
                raise MemoryError
        for i in range(count):
            Py_INCREF(<object>items[i])
            own[i] = items[i]
        try:
            if self.is_blocking:
                with nogil:
                    self.put(own, count, deadline, &done)
            else:
                self.put(own, count, deadline, &done)
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
        room = sr_spsc_room(self.core, self.size)
        self.leave()
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
        return self.try_push_block(cnp.PyArray_DATA(block), cnp.PyArray_DIM(block, 0))

    cdef int push_block(self, const void *items, Py_ssize_t count) except -1 nogil:
        cdef Py_ssize_t taken = 0
        if count < 0:
            self.raise_count(count, self.size)
        self.enter()
        try:
            self.put(items, count, FOREVER, &taken)
        finally:
            self.leave()
        return 0

    cdef Py_ssize_t try_push_block(self, const void *items, Py_ssize_t count) except -1 nogil:
        if count < 0:
            self.raise_count(count, self.size)
        if self.overlaps(items):
            return self.try_push_copy(items, count)
        self.enter()
        count = <Py_ssize_t>sr_spsc_try_push(self.core, items, count)
        self.leave()
        return count

    cdef Py_ssize_t try_push_copy(self, const void *items, Py_ssize_t count) except -1 with gil:
        block = copy_block(self.item_type, items, count)
        return self.try_push_block(cnp.PyArray_DATA(block), count)

    cdef int push_scalar(self, const void *value, int scalar) except -1 nogil:
        if scalar != self.scalar:
            return self.raise_scalar(scalar)
        return self.push_block(value, 1)

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        return self.put(items, count, FOREVER, taken)

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        self.has_deferred = True
        return self.put_objects(items, count, FOREVER, taken)

    cdef int run_deferred(self, int state) except -1:
        cdef SinkContext out = take_trash(&self.evicted)
        self.has_deferred = False
        sr_state_store(&self.state, state)
        empty_trash(&out)
        return 0

    cdef void *reserve(self, Py_ssize_t count) except NULL nogil:
        cdef void *room = NULL
        cdef size_t n_contiguous
        cdef int found
        cdef int next_state = SR_OPEN
        if not 0 <= count <= self.size:
            self.raise_count(count, self.size)
        self.enter()
        try:
            if self.is_blocking:
                self.wait_room(count, FOREVER)
            found = sr_spsc_reserve(self.core, count, &room, &n_contiguous)
            if found == SR_FULL and not self.core.evicts:
                self.raise_full(count)
            if found == SR_FULL:  # a consumer in the middle of a copy is in the way
                room = self.reserve_aside(count)
            self.reserved = count
            self.reservations += 1
            next_state = SR_RESERVED
        finally:
            sr_state_store(&self.state, next_state)
        return room

    cdef void *reserve_aside(self, Py_ssize_t count) except NULL with gil:
        self.aside = new_block(self.item_type, count)
        return cnp.PyArray_DATA(self.aside)

    cdef int commit(self, Py_ssize_t count) except -1 nogil:
        cdef Py_ssize_t offset
        cdef int found = move_reserved(&self.state)
        if found == SR_OPEN:
            self.raise_commit()
        elif found != SR_RESERVED:
            self.raise_for_state(found)
        if not 0 <= count <= self.reserved:
            sr_state_store(&self.state, SR_RESERVED)
            self.raise_count(count, self.reserved)
        try:
            self.reserved = 0
            if <PyObject *>self.aside != <PyObject *>None:
                self.commit_aside(count)
            else:
                # On the heap what was written beyond the memory's end is carried to its start.
                offset = <unsigned char *>sr_next_slot(self.core) - self.core.items
                self.storage.complete_write(offset, count * self.itemsize)
                sr_spsc_commit(self.core, count)
        finally:
            self.leave()
        return 0

    cdef int commit_aside(self, Py_ssize_t count) except -1 with gil:
        cdef Py_ssize_t taken = 0
        aside, self.aside = self.aside, None
        return self.put(cnp.PyArray_DATA(aside), count, FOREVER, &taken)

    def flush(self):
        """Send everything resident to the sink, then flush the sink. The producer's. O(n).

        While an open ring rejects or blocks, its items wait for the consumer, and only the sink is flushed.
        After `close` this is the consumer's, and the way to send on what nobody popped; it then closes the sink.

        Returns
        -------
        int
            Items sent. Without a sink there is nowhere to send them: they stay, and it is 0.

        Raises
        ------
        ValueError
            The ring is closed, and has no sink or is through with it.
        Exception
            Whatever the sink raises; what it didn't take is still in the ring.
        """
        cdef sr_index before
        cdef SinkContext out
        if sr_state_load(&self.state) == SR_CLOSED:
            if self.target is None or sr_state_load(&self.is_settled):
                self.raise_for_state(SR_CLOSED)
            return self.flush_all()
        self.enter()
        try:
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
            self.leave()
            empty_trash(&out)

    cdef Py_ssize_t flush_all(self) except -1:
        """Flush, also what waits for a consumer."""
        cdef SinkContext out = SinkContext(NULL, NULL, NULL, 0, 0)
        self.enter_consumer()
        try:
            return self.send_rest(&out)
        finally:
            self.leave_consumer()
            empty_trash(&out)

    def close(self):
        """End the stream: nothing is pushed any more. The producer's. Closing again does nothing.

        What is in the ring can still be popped; then the consumer sees the end. The sink is closed once
        the ring is empty too: here, or when the consumer finds that out, or by `flush`, which sends on
        what nobody popped, as happens to a closed ring that is dropped and at interpreter exit.

        Raises
        ------
        Exception
            Whatever the sink raises: over items that it refused before, and then the ring stays open; or as it is
            closed, and then the ring is closed, and whatever finds the end next closes the sink again.
        """
        cdef SinkContext out
        cdef int state = SR_OPEN
        if sr_state_load(&self.state) == SR_CLOSED:
            return
        self.enter()
        try:
            if self.core.pending_count:
                sr_deliver(self.core)
            sr_spsc_close(self.core)
            state = SR_CLOSED
        finally:
            out = take_trash(&self.evicted)
            sr_state_store(&self.state, state)
            empty_trash(&out)
        self.settle()

    cdef int settle(self) except -1:
        """Let go of the sink, if nothing can come any more. By whichever side finds that out first: `close`, or a
        call of the consumer's that finds nothing, or has drained, waited for or flushed the rest."""
        if self.target is None or not sr_spsc_has_ended(self.core) or self.core.pending_count:
            return 0
        if sr_state_cas(&self.is_settled, SR_NEW, SR_CLOSED) != SR_NEW:
            return 0
        try:
            drop_user(self.target)
        except BaseException:
            sr_state_store(&self.is_settled, SR_NEW)
            raise
        return 0

    cdef Py_ssize_t send_rest(self, SinkContext *out) except -1:
        """Send all that is left to the sink, oldest first: nobody pushes. The consumer's side is entered."""
        cdef Py_ssize_t sent = 0
        cdef sr_index before = sr_evicted(self.core)
        if self.core.claimed_count and self.core.pending_count and self.core.claimed < self.core.pending:
            sent += self.consumer.move_to(self.target, self.core.claimed_count, out)
        if self.core.pending_count:
            sr_deliver(self.core)
            sent += sr_evicted(self.core) - before
        sent += self.consumer.move_to(self.target, PY_SSIZE_T_MAX, out)
        if sr_state_load(&self.state) == SR_CLOSED:
            self.settle()
        elif sr_state_load(&self.target.state) != SR_CLOSED:
            self.target.flush()
        return sent

    def __del__(self):
        cdef SinkContext out = SinkContext(NULL, NULL, NULL, 0, 0)
        if self.target is None or sr_state_load(&self.state) <= SR_MAKING or sr_state_load(&self.is_settled):
            return
        # Nobody else is here, but the sink may know the ring and come back.
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
        if sr_state_load(&self.is_settled) or not is_closed and sr_spsc_count(self.core) == 0:
            return 0
        if self.core.evicts and not is_closed:
            self.flush()
        else:
            self.flush_all()
        return 0

    # -- the consumer's side ---------------------------------------------------------------------

    cdef bint find(self, Py_ssize_t n, long long deadline) except -1:
        """Wait for n items, of which some may be evicted again. False: they are not there, or will never be."""
        cdef bint there = self.consumer.find(n, deadline)
        if not there:
            self.settle()
        return there

    def wait(self, n=1, /, timeout=None):
        """Wait until there are n items. The consumer's.

        Parameters
        ----------
        n : int
            At most the capacity.
        timeout : float, optional
            Seconds; for ever by default.

        Returns
        -------
        bool
            Whether they are there. False means that the time is over, or that the ring is closed and holds fewer.

        Raises
        ------
        ValueError
            `n` is negative or more than the capacity; `timeout` is negative or no number.
        RuntimeError
            Another thread is on the consumer's side, or a `read` is open.
        """
        cdef Py_ssize_t count = self.check_wait(n)
        cdef long long deadline = deadline_of(timeout)
        self.enter_consumer()
        try:
            return self.find(count, deadline)
        finally:
            self.leave_consumer()

    cdef Py_ssize_t check_wait(self, object n) except -1:
        cdef Py_ssize_t count = count_of(n)
        if count > self.size:
            raise ValueError(f"a wait for {n} items, where the ring holds {self.size} at most")
        return count

    def pop(self, default=..., *, timeout=0):
        """Remove and return the oldest item. The consumer's. O(1).

        Parameters
        ----------
        default : object, optional
            Returned when there is none.
        timeout : float or None
            Seconds to wait for one; None, for ever, or until the ring is closed.

        Raises
        ------
        IndexError
            There is none, and no default.
        RuntimeError
            Another thread is on the consumer's side, or a `read` is open.
        """
        cdef long long deadline = NO_WAIT if timeout is ZERO else deadline_of(timeout)
        self.enter_consumer()
        try:
            while sr_claim(self.core, 1, False) == 0:
                if not self.find(1, deadline):
                    if default is ...:  # none was given
                        ended = " and closed" if sr_state_load(&self.state) == SR_CLOSED else ""
                        raise IndexError(f"pop from an empty{ended} {type(self).__name__}")
                    return default
            item = self.take_one()
            sr_finish(self.core, 1)
            return item
        finally:
            self.leave_consumer()

    cdef object take_one(self):
        """The first item that is held; an object's reference goes along."""
        cdef void *slot = sr_slot(self.core, self.core.claimed)
        cdef PyObject *pointer
        if self.slots == NULL:
            return load_item(self.record, self.item_type, slot)
        pointer = (<PyObject **>slot)[0]
        item = <object>pointer
        (<PyObject **>slot)[0] = NULL
        Py_DECREF(pointer)  # `item` holds it
        return item

    def pop_many(self, n=None, *, timeout=0):
        """Remove the oldest items. The consumer's.

        Parameters
        ----------
        n : int, optional
            How many; all of them by default, fewer if there are fewer.
        timeout : float or None
            Seconds to wait for at least one; None, for ever, or until the ring is closed.

        Returns
        -------
        ndarray or list
            Oldest first. They follow each other: nothing was evicted between them.

        Raises
        ------
        ValueError
            `n` is negative.
        RuntimeError
            Another thread is on the consumer's side, or a `read` is open.
        """
        cdef Py_ssize_t count = PY_SSIZE_T_MAX if n is None else count_of(n)
        cdef long long deadline = NO_WAIT if timeout is ZERO else deadline_of(timeout)
        cdef Py_ssize_t popped = 0
        self.enter_consumer()
        try:
            items = self.consumer.pop_many(count, deadline, &popped)
            if popped == 0 and count:
                self.settle()
            return items
        finally:
            self.leave_consumer()

    def pop_into(self, out, /, *, timeout=0):
        """Remove the oldest items into an array of the caller's. The consumer's; not for objects.

        Parameters
        ----------
        out : ndarray or writable buffer
            As for `ArrayRing.pop_into`.
        timeout : float or None
            Seconds to wait for at least one; None, for ever, or until the ring is closed.

        Returns
        -------
        int
            Items removed: the first so many of `out` are new.

        Raises
        ------
        TypeError
            The ring holds objects; `out` is no buffer, or of another kind of dtype.
        ValueError
            `out` is read-only, has another shape, or no room for a single item.
        RuntimeError
            Another thread is on the consumer's side, or a `read` is open.
        """
        cdef long long deadline = NO_WAIT if timeout is ZERO else deadline_of(timeout)
        cdef Py_ssize_t count
        if self.item_type is None:
            raise TypeError(f"a {type(self).__name__} of objects has nothing to copy: use pop_many")
        array = as_destination(out, self.item_type)
        self.enter_consumer()
        try:
            if is_block(array, self.item_type):
                count = self.consumer.pop_into(cnp.PyArray_DATA(array), cnp.PyArray_DIM(array, 0), deadline)
            else:
                count = self.convert_into(array, deadline)
            if count == 0:
                self.settle()
            return count
        finally:
            self.leave_consumer()

    cdef Py_ssize_t convert_into(self, object array, long long deadline) except -1:
        """`Consumer.pop_into` for an array of another layout, or another dtype of the same kind."""
        cdef Py_ssize_t part
        cdef Py_ssize_t count = 0
        cdef Py_ssize_t room = cnp.PyArray_DIM(array, 0)
        cdef const void *items
        while count == 0 and self.consumer.find(1, deadline):
            while count < room:
                part = <Py_ssize_t>sr_spsc_claim(self.core, room - count, &items)
                if part == 0:
                    break
                block = view_block(self.item_type, <void *>items, part, self.storage, False)
                np.copyto(array[count:count + part], block, casting="same_kind")
                sr_spsc_release(self.core, part)
                count += part
        return count

    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil:
        if count < 0:
            self.raise_count(count, self.size)
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
            Seconds to wait for at least one; None, for ever, or until the ring is closed.

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
        loan.deadline = NO_WAIT if timeout is ZERO else deadline_of(timeout)
        return loan

    cdef object held_block(self, Py_ssize_t n, long long deadline):
        cdef Py_ssize_t i
        cdef Py_ssize_t count = 0
        cdef const void *items = NULL
        while count == 0 and n and self.find(1, deadline):
            count = <Py_ssize_t>sr_spsc_claim(self.core, n, &items)
        if self.item_type is not None:
            return view_block(self.item_type, <void *>items if count else self.core.items, count, self.storage, False)
        return [<object>(<PyObject **>items)[i] for i in range(count)]

    def drain(self, sink, /, *, timeout=0):
        """Move everything into another sink, in order, in as few blocks as there are runs. The consumer's. O(n).

        Parameters
        ----------
        sink : sink
            A ring, a `Sink`, a callable, or an object with ``send``.
        timeout : float or None
            Seconds to wait for at least one item; None, for ever, or until the ring is closed.

        Returns
        -------
        int
            Items moved.

        Raises
        ------
        ValueError, TypeError
            The sink is this ring, is closed, or takes other items.
        Exception
            Whatever the sink raises; then what it took has left the ring and the rest is still here.
        """
        cdef long long deadline = NO_WAIT if timeout is ZERO else deadline_of(timeout)
        cdef Sink target = as_sink(sink)
        cdef SinkContext out = SinkContext(NULL, NULL, NULL, 0, 0)
        cdef Py_ssize_t count
        if target is self:
            raise ValueError("a ring can't be drained into itself")
        if sr_state_load(&self.state) <= SR_MAKING:
            self.raise_for_state(SR_NEW)
        target.bind(self.item_type)
        self.enter_consumer()
        try:
            self.consumer.find(1, deadline)
            count = self.consumer.move_to(target, PY_SSIZE_T_MAX, &out)
            self.settle()
            return count
        finally:
            self.leave_consumer()
            empty_trash(&out)  # only now: a destructor may pop here

    def clear(self):
        """Drop the content; the sink sees nothing of it. The consumer's. O(1), of objects O(n).

        Raises
        ------
        RuntimeError
            Another thread is on the consumer's side, or a `read` is open.
        """
        cdef list dropped = []  # and freed when this returns
        self.enter_consumer()
        try:
            self.consumer.drop_all(dropped)
        finally:
            self.leave_consumer()

    def blocks(self, n=None, /):
        """Iterate over blocks of up to n items as they come, until the ring is closed and empty. The consumer's.

        Each block is a `pop_many` that waits. Between two of them another call of the consumer's may come.

        Parameters
        ----------
        n : int, optional
            At least 1; the capacity by default.

        Yields
        ------
        ndarray or list
            At least one item, oldest first.

        Raises
        ------
        ValueError
            `n` is not at least 1.
        """
        return iter_blocks(self, block_size(n, self.size))

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
        """The sink, as it was given; None where what is evicted is dropped."""
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

    # -- event loops -----------------------------------------------------------------------------

    def wait_async(self, n=1, /):
        """``await ring.wait_async(n)``: wait in a coroutine until there are n items. The consumer's.

        The event loop goes on meanwhile; the producer's push wakes it.

        Parameters
        ----------
        n : int
            At most the capacity.

        Returns
        -------
        coroutine
            Of a bool: whether they are there. False means that the ring is closed and holds fewer.
        """
        return wait_async(self, n)

    def ablocks(self, n=None, /):
        """``async for block in ring.ablocks(n)``: as `blocks`, in a coroutine. The consumer's.

        Parameters
        ----------
        n : int, optional
            Items in a block, at most; the capacity by default.
        """
        return async_blocks(self, block_size(n, self.size))

    def _begin_wait(self, n, /):
        """For `aio`: enter the consumer's side; the descriptor that becomes readable."""
        self.check_wait(n)
        self.enter_consumer()
        try:
            return self.consumer.listen()
        except BaseException:
            self.leave_consumer()
            raise

    def _ask(self, n, /):
        """For `aio`: ask for a wake; True if there will be none, since the wait is over."""
        if self.consumer is None:
            self.raise_for_state(SR_NEW)
        return self.consumer.ask(n)

    def _end_wait(self, n, /):
        """For `aio`: leave the consumer's side; whether n items are there."""
        if self.consumer is None:
            self.raise_for_state(SR_NEW)
        try:
            there = self.consumer.listen_no_more(n)
            if not there:
                self.settle()
        finally:
            self.leave_consumer()
        return there


# -- push ---------------------------------------------------------------------------------------------

cdef int push_one(SpscRing self, object item) except -1:
    """No more than this for a float, or an object with room, where no sink is called; all else goes to push_any."""
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
            Py_INCREF(item)
            (<PyObject **>sr_next_slot(self.core))[0] = <PyObject *>item
            sr_spsc_commit(self.core, 1)
            sr_unlock(&self.state)
            return 0
        sr_unlock(&self.state)
    return self.push_any(item, FOREVER)


sr_install_fast_push(SpscRing.__dict__["push"], <void *>push_one)

# -- what a wait for room asks -----------------------------------------------------------------------

cdef bint room_is_there(const awaited *what) noexcept nogil:
    return <Py_ssize_t>sr_spsc_room(<sr_spsc *>what.context, what.count) >= what.count


cdef void await_room(const awaited *what) noexcept nogil:
    sr_spsc_await_room(<sr_spsc *>what.context, what.count)


cdef void await_room_no_more(const awaited *what) noexcept nogil:
    sr_cancel_wake(&(<sr_spsc *>what.context).producer)


# -- forks ---------------------------------------------------------------------------------------------

cdef object rings = weakref.WeakValueDictionary()  # by id: a subclass may not be hashable


cdef extern from *:
    """
    static sr_index sr_load_tail(const sr_spsc *ring)
    {
        return atomic_load_explicit(&ring->tail, memory_order_acquire); /* as R1: what is copied then has all below */
    }

    /* With nobody else here: forget what another thread pushed from `tail` on. */
    static void sr_forget_pushed(sr_spsc *ring, sr_index tail)
    {
        sr_index head = sr_load(&ring->head);
        if (sr_pushed(ring) == tail && (sr_distance)(head - tail) <= 0)
            return; /* a producer that forks, in its sink, finds all as it was */
        if ((sr_distance)(head - tail) > 0) /* it has all left the ring since, and more */
            tail = head;
        sr_store(&ring->tail, tail);
        ring->limit = tail; /* the next push looks: it may have been in the middle of a change */
        if ((sr_distance)(ring->seen_tail - tail) > 0)
            ring->seen_tail = tail;
    }

    static int sr_is_empty(const sr_spsc *ring, sr_index position)
    {
        return *(void **)sr_slot(ring, position) == NULL;
    }

    /* Of a run that wraps around, each half is one call of the sink, and the run is counted after the second. Between
     * the two the slots of the first are empty: the objects there are sent, so count them. */
    static void sr_count_evicted(sr_spsc *ring)
    {
        for (; ring->pending_count != 0 && sr_is_empty(ring, ring->pending); ring->pending++, ring->pending_count--)
            sr_store(&ring->evicted, sr_load(&ring->evicted) + 1);
    }

    static void sr_count_drained(sr_spsc *ring)
    {
        for (; ring->claimed_count != 0 && sr_is_empty(ring, ring->claimed); sr_finish(ring, 1))
            sr_store(&ring->drained, sr_load(&ring->drained) + 1);
    }
    """
    sr_index sr_load_tail(const sr_spsc *ring) noexcept nogil
    void sr_forget_pushed(sr_spsc *ring, sr_index tail) noexcept nogil
    void sr_count_evicted(sr_spsc *ring) noexcept nogil
    void sr_count_drained(sr_spsc *ring) noexcept nogil


def _before_fork():
    """The items are copied before all else is, and a producer that goes on meanwhile counts some that are not there."""
    cdef SpscRing ring
    # valuerefs gives a list: other threads may make rings.
    for ring in [ring for ring in [reference() for reference in rings.valuerefs()] if ring is not None]:
        ring.tail_at_fork = sr_load_tail(ring.core)


def _free_sides():
    """In a forked child: who was inside of a side is not here, unless it is who forked."""
    cdef SpscRing ring
    for ring in list(rings.values()):
        sr_forget_pushed(ring.core, ring.tail_at_fork)
        if free_side(&ring.state, &ring.thread) and ring.slots != NULL:
            sr_count_evicted(ring.core)
        if free_side(&ring.shared.consumer.state, &ring.shared.consumer.thread) and ring.slots != NULL:
            sr_count_drained(ring.core)


cdef bint free_side(int *state, unsigned long *thread) noexcept:
    """Whether another thread was inside, and now nobody is."""
    if state[0] == SR_RESERVED:
        state[0] = SR_FORKED  # to be gone on with, or to be taken over by the next who comes in
        return False
    if state[0] != SR_BUSY or thread[0] == PyThread_get_thread_ident():
        return False
    state[0] = SR_OPEN
    thread[0] = 0  # an id may be given to another thread
    return True


at_fork(_before_fork, _free_sides)


# -- lending ---------------------------------------------------------------------------------------------

cdef object begin_read(object lender, Loan loan):
    cdef SpscRing ring = lender
    ring.enter_consumer()
    try:
        block = ring.held_block(loan.count, loan.deadline)
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
    cdef list _let_go  # freed when this returns
    if move_reserved(&ring.shared.consumer.state) != SR_RESERVED:
        return 0
    if ring.reads != loan.number:
        sr_state_store(&ring.shared.consumer.state, SR_RESERVED)
        return 0
    if not raised:
        if ring.item_type is None:
            _let_go = pop_references(ring.core, loan.lent)
        else:
            sr_spsc_release(ring.core, loan.lent)
    ring.leave_consumer()
    return 0


cdef object begin_reservation(object lender, Loan loan):
    cdef SpscRing ring = lender
    cdef void *room
    if ring.item_type is None:
        raise TypeError(f"a {type(ring).__name__} of objects has no memory to write to: use push or extend")
    room = ring.reserve(loan.count)
    try:
        block = ring.aside
        if block is None:
            block = view_block(ring.item_type, room, loan.count, ring.storage, True)
    except BaseException:
        ring.commit(0)
        raise
    loan.number = ring.reservations
    return block


cdef int end_reservation(object lender, Loan loan, bint raised) except -1:
    cdef SpscRing ring = lender
    if ring.reservations == loan.number and sr_state_load(&ring.state) != SR_OPEN:  # else it is committed
        ring.commit(0 if raised else loan.count)
    return 0


@cython.binding(True)
def reserve(SpscRing self not None, n, /):
    """Fill the ring's own memory, without a copy: ``with ring.reserve(n) as block: block[:] = …``

    The producer's. As `ArrayRing.reserve`; with ``overflow="block"`` entering waits for room for all n, with
    ``"reject"`` it raises `queue.Full` where there is none. (A producer that waits for room for n beside a consumer
    that waits for m waits for ever if ``n + m`` is more than the capacity plus one.)

    Where a consumer in the middle of a copy is in the way, the block is a new array, and is pushed when the ``with``
    ends: the one call that allocates.

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
def commit(SpscRing self not None, n, /):
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
    self.commit(count_of(n))


add_methods(SpscRing, (reserve, commit))
del reserve, commit


# -- garbage collection ----------------------------------------------------------------------------------

cdef PyTypeObject *type_slots = <PyTypeObject *>SpscRing
cdef traverseproc traverse_fields = type_slots.tp_traverse


cdef int traverse(PyObject *o, visitproc visit, void *arg) noexcept:
    cdef int result = traverse_fields(o, visit, arg)
    if result == 0 and (<SpscRing>o).slots != NULL:
        result = visit_slots((<SpscRing>o).core, visit, arg)
    return result


cdef int clear_slots(PyObject *o) noexcept:
    """Break the cycles that go through the items. Of the ring's own references none is cleared: half a ring
    would be left behind."""
    ring = <SpscRing>o
    if ring.slots != NULL and ring.shared.consumer.state == SR_OPEN:
        SpscRing.clear(ring)  # no subclass's
    return 0


type_slots.tp_traverse = traverse
type_slots.tp_clear = clear_slots
