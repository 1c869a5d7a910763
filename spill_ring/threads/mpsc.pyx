"""Several producers, each with a ring of its own, and one consumer that merges them while they run."""
cimport numpy as cnp

from spill_ring._core.arguments cimport capacity_of, count_of
from spill_ring._core.block cimport as_destination, is_block
from spill_ring.threads.consumer cimport Consumer, block_size
from spill_ring.sinks.function cimport as_sink
from spill_ring._core.guard cimport SR_MAKING, SR_NEW, SR_OPEN, sr_state_store, sr_state_cas, sr_state_load
from spill_ring.sinks.locked cimport LockedSink
from spill_ring.threads.eviction cimport empty_trash, SinkContext
from spill_ring.threads.parking cimport NO_WAIT, deadline_of
from spill_ring.sinks.per_producer cimport ProducerSink
from spill_ring.serialization.record cimport load_item
from spill_ring._core.sink cimport DropSink, Sink
from spill_ring.threads.spsc cimport SpscRing

from types import GenericAlias

from spill_ring.threads.event_loop import async_blocks, wait_async
from spill_ring.threads.consumer import iter_blocks
from spill_ring.rings.base import Stats

cnp.import_array()


cdef extern from *:
    const Py_ssize_t PY_SSIZE_T_MAX


cdef enum:
    MOST = 65536  # producers
cdef object ZERO = 0


cdef class MpscRing:
    """MpscRing(capacity, dtype=None, sink=None, *, producers)\n--\n
    Rings of several producers, which share nothing, and one consumer that takes from all of them.

    Parameters
    ----------
    capacity : int
        Items that each producer's ring holds, at least 1.
    dtype : dtype, optional
        Of numpy items, as for `ArrayRing`. Without one the rings hold any Python objects.
    sink : sink, optional
        Gets what the rings evict, each in its producer's thread. With `ProducerSink` each ring has a
        sink of its own; any other sink is shared, behind a lock. Without one evicted items are dropped.
    producers : int
        How many, 1 to 65,536.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `SpscRing` does.

    Notes
    -----
    Producer i pushes to ``ring.producers[i]``, an `SpscRing`. The consumer takes from all in fair shares, and
    begins with another one each time; the order of items is kept within a producer.

    **Thread safety.** One thread at a time for each producer, and one for the consumer's calls, which are
    the methods here but for `flush` and `close`; a second one gets a `RuntimeError`. `flush` and `close`
    are for when the producers are done. Attributes, `len` and `stats` answer in any thread.

    >>> import threading
    >>> ring = MpscRing(100, "i8", producers=3)
    >>> threads = [threading.Thread(target=producer.extend, args=(range(5),)) for producer in ring.producers]
    >>> for thread in threads: thread.start()
    >>> for thread in threads: thread.join()
    >>> ring.pop_many()
    array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
    """

    def __init__(self, capacity, dtype=None, sink=None, *, producers):
        cdef Py_ssize_t count = capacity_of(producers, "producers")
        cdef Py_ssize_t i
        cdef SpscRing ring
        cdef list rings = []
        if count > MOST:
            raise ValueError(f"producers must be at most {MOST}, which is more threads than there can be; not {count}")
        shared = sink
        if isinstance(sink, ProducerSink):
            shared = None
        elif sink is not None and type(sink) is not DropSink and not isinstance(sink, LockedSink):
            shared = LockedSink(sink)
        for i in range(count):
            rings.append(SpscRing(capacity, dtype, sink.producer(i) if isinstance(sink, ProducerSink) else shared))
        consumer = Consumer(count, rings[0].dtype)
        if sr_state_cas(&self.state, SR_NEW, SR_MAKING) != SR_NEW:  # asked last: making sinks may run Python
            raise RuntimeError(f"{type(self).__name__} is initialised already")
        for ring in rings:
            consumer.add(ring.shared)  # whoever pushes wakes the one consumer
            ring.consumer.parking = consumer.parking
        self.consumer = consumer
        self.count = count
        self.sink_as_given = sink
        self.item_type = rings[0].dtype
        self.rings = tuple(rings)
        sr_state_store(&self.state, SR_OPEN)

    @classmethod
    def __class_getitem__(cls, item):
        """``MpscRing[str, list[str]]``, for annotations."""
        return GenericAlias(cls, item)

    # -- the consumer's side ---------------------------------------------------------------------

    cdef SpscRing ring(self, Py_ssize_t i):
        return <SpscRing>self.rings[i]

    cdef int check_made(self) except -1:
        if sr_state_load(&self.state) != SR_OPEN:
            raise RuntimeError(f"{type(self).__name__} was never initialised: call super().__init__ first")
        return 0

    cdef int enter(self) except -1:
        """The consumer's side of every ring: nobody else may pop from one of them meanwhile."""
        cdef Py_ssize_t i = 0
        self.check_made()
        try:
            while i < self.count:
                self.ring(i).enter_consumer()
                i += 1
        except BaseException:
            self.leave(i)
            raise
        return 0

    cdef void leave(self, Py_ssize_t entered) noexcept:
        cdef Py_ssize_t i
        for i in range(entered):
            self.ring(i).leave_consumer()

    cdef bint wait_items(self, Py_ssize_t count, long long deadline) except -1 nogil:
        return self.consumer.wait(count, deadline)

    cdef int settle(self) except -1:
        cdef Py_ssize_t i
        for i in range(self.count):
            self.ring(i).settle()
        return 0

    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil:
        with gil:
            if count < 0:
                raise ValueError(f"a count of items can't be negative: {count}")
            self.enter()
        count = self.consumer.take(<char *>out, count)
        with gil:
            self.leave(self.count)
        return count

    def wait(self, n=1, /, timeout=None):
        """Wait until there are n items in all rings together. O(producers) for each look.

        Parameters
        ----------
        n : int
            At most the capacity of one ring times the number of producers.
        timeout : float, optional
            Seconds; for ever by default.

        Returns
        -------
        bool
            Whether they are there. False means that the time is over, or that all rings are closed and hold fewer.

        Raises
        ------
        ValueError
            `n` is negative or more than the rings hold; `timeout` is negative or no number.
        RuntimeError
            Another thread is on the consumer's side, or a `read` of one of the rings is open.
        """
        cdef Py_ssize_t count = self.check_wait(n)
        cdef long long deadline = deadline_of(timeout)
        self.enter()
        try:
            there = self.consumer.find(count, deadline)
            if not there:
                self.settle()
            return there
        finally:
            self.leave(self.count)

    cdef Py_ssize_t check_wait(self, object n) except -1:
        cdef Py_ssize_t count = count_of(n)
        if count > self.capacity * self.count:
            raise ValueError(f"a wait for {n} items, where the rings hold {self.capacity * self.count} at most")
        return count

    def pop(self, default=..., *, timeout=0):
        """Remove and return the oldest item of the producer whose turn it is. O(producers).

        Parameters
        ----------
        default : object, optional
            Returned when there is none.
        timeout : float or None
            Seconds to wait for one; None, for ever, or until all rings are closed.

        Raises
        ------
        IndexError
            There is none, and no default.
        """
        items = self.take(1, NO_WAIT if timeout is ZERO else deadline_of(timeout))
        if len(items) and self.ring(0).record is not None:
            return load_item(self.ring(0).record, self.item_type, cnp.PyArray_DATA(items))
        if len(items):
            return items[0]
        if default is ...:
            raise IndexError(f"pop from an empty {type(self).__name__}")
        return default

    def pop_many(self, n=None, *, timeout=0):
        """Remove items of all producers, in fair shares. O(n + producers).

        Parameters
        ----------
        n : int, optional
            How many; all of them by default, fewer if there are fewer.
        timeout : float or None
            Seconds to wait for at least one; None, for ever, or until all rings are closed.

        Returns
        -------
        ndarray or list
            Those of each producer oldest first.

        Raises
        ------
        RuntimeError
            Another thread is on the consumer's side, or a ``with`` has a `read` of one of the rings open.
        """
        cdef Py_ssize_t count = PY_SSIZE_T_MAX if n is None else count_of(n)
        return self.take(count, NO_WAIT if timeout is ZERO else deadline_of(timeout))

    cdef object take(self, Py_ssize_t count, long long deadline):
        """`pop_many`, and no subclass's, which may return anything."""
        cdef Py_ssize_t popped = 0
        self.enter()
        try:
            items = self.consumer.pop_many(count, deadline, &popped)
            if popped == 0 and count:
                self.settle()
            return items
        finally:
            self.leave(self.count)

    def pop_into(self, out, /, *, timeout=0):
        """Remove items into an array of the caller's, in fair shares, at memcpy speed. Not for objects.

        Parameters
        ----------
        out : ndarray or writable buffer
            C-contiguous, of the rings' dtype, shape ``(n,) + dtype.shape``.
        timeout : float or None
            Seconds to wait for at least one; None, for ever, or until all rings are closed.

        Returns
        -------
        int
            Items removed: the first so many of `out` are new.

        Raises
        ------
        TypeError, ValueError
            The rings hold objects; `out` is no array, or of another dtype or shape, or not C-contiguous.
        """
        cdef long long deadline = NO_WAIT if timeout is ZERO else deadline_of(timeout)
        cdef Py_ssize_t count
        if self.item_type is None:
            raise TypeError(f"a {type(self).__name__} of objects has nothing to copy: use pop_many")
        array = as_destination(out, self.item_type)
        if not is_block(array, self.item_type):
            raise ValueError(f"out must be C-contiguous, of dtype {self.item_type}; use pop_many for another one")
        self.enter()
        try:
            count = self.consumer.pop_into(cnp.PyArray_DATA(array), cnp.PyArray_DIM(array, 0), deadline)
            if count == 0:
                self.settle()
            return count
        finally:
            self.leave(self.count)

    def drain(self, sink, /, *, timeout=0):
        """Move everything into a sink, producer after producer, in as few blocks as there are runs. O(n).

        Parameters
        ----------
        sink : sink
            A ring, a `Sink`, a callable, or an object with ``send``.
        timeout : float or None
            Seconds to wait for at least one item; None, for ever, or until all rings are closed.

        Returns
        -------
        int
            Items moved.

        Raises
        ------
        ValueError, TypeError
            The sink is one of the rings, is closed, or takes other items.
        Exception
            Whatever the sink raises; then what it took has left the rings and the rest is still here.
        """
        cdef long long deadline = NO_WAIT if timeout is ZERO else deadline_of(timeout)
        cdef Sink target = as_sink(sink)
        cdef Py_ssize_t count
        cdef SinkContext out = SinkContext(NULL, NULL, NULL, 0, 0)
        if target in self.producers:
            raise ValueError("rings can't be drained into one of themselves")
        target.bind(self.item_type)
        self.enter()
        try:
            self.consumer.find(1, deadline)
            count = self.consumer.move_to(target, PY_SSIZE_T_MAX, &out)
            self.settle()
            return count
        finally:
            self.leave(self.count)
            empty_trash(&out)

    def clear(self):
        """Drop the content of all rings; their sinks see nothing of it. Of objects O(n).

        Raises
        ------
        RuntimeError
            Another thread is on the consumer's side, or a `read` of one of the rings is open; then all is there.
        """
        cdef list dropped = []  # and freed when this returns
        self.enter()
        try:
            self.consumer.drop_all(dropped)
        finally:
            self.leave(self.count)

    def blocks(self, n=None, /):
        """Iterate over blocks of up to n items as they come, until all rings are closed and empty.

        Parameters
        ----------
        n : int, optional
            All there are by default.

        Yields
        ------
        ndarray or list
            At least one item.

        Raises
        ------
        ValueError
            `n` is not at least 1.
        """
        return iter_blocks(self, block_size(n, PY_SSIZE_T_MAX))

    # -- the end ---------------------------------------------------------------------------------

    def flush(self):
        """Send everything resident to the sinks, then flush them. Only while no producer is pushing. O(n).

        Returns
        -------
        int
            Items sent.

        Raises
        ------
        ValueError
            All rings are closed and through with their sinks.
        Exception
            The first that a sink raised, after the last ring; what it didn't take is still there.
        """
        cdef SpscRing ring
        # One that is closed and through with its sink refuses. Here that counts only if they all are.
        open_rings = [
            ring for ring in self.producers
            if not ring.closed or ring.target is not None and not sr_state_load(&ring.is_settled)
        ]
        count = 0
        failure = None
        for ring in open_rings or self.producers:
            try:
                count += ring.flush()
            except BaseException as error:
                failure = error if failure is None else failure
        if failure is not None:
            raise failure
        return count

    def close(self):
        """Close the ring of every producer. Only while none is pushing. Closing again does nothing.

        What is in the rings can still be popped; then the consumer sees the end. A sink is closed with the last
        ring that uses it, once that is empty. The first error is raised after the last ring.
        """
        failure = None
        for ring in self.producers:
            try:
                ring.close()
            except BaseException as error:
                failure = error if failure is None else failure
        if failure is not None:
            raise failure

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    # -- any thread ------------------------------------------------------------------------------

    @property
    def producers(self):
        """A tuple of an `SpscRing` for each producer."""
        self.check_made()
        return self.rings

    @property
    def capacity(self):
        """Items that each ring holds when it is full."""
        return self.producers[0].capacity

    @property
    def dtype(self):
        """The dtype of the items; None for objects."""
        return self.item_type

    @property
    def sink(self):
        """The sink, as it was given; None where what is evicted is dropped."""
        return self.sink_as_given

    @property
    def closed(self):
        """True once every ring is closed."""
        return all(ring.closed for ring in self.producers)

    @property
    def ended(self):
        """True once every ring is closed and empty: nothing will come any more."""
        return all(ring.ended for ring in self.producers)

    @property
    def is_empty(self):
        """True when the rings hold nothing."""
        return len(self) == 0

    @property
    def stats(self):
        """The `Stats` of all rings, added up."""
        return Stats(*map(sum, zip(*[ring.stats for ring in self.producers], strict=True)))

    def __len__(self):
        return sum(map(len, self.producers))

    def __bool__(self):
        return len(self) != 0

    def __reduce__(self):
        raise TypeError(f"cannot pickle a live {type(self).__name__}; pickle the items it holds instead")

    def __repr__(self):
        kind = "objects" if self.item_type is None else str(self.item_type)
        closed = ", closed" if self.closed else ""
        return f"<MpscRing: {len(self)} {kind}, capacity={self.capacity}, producers={len(self.producers)}{closed}>"

    # -- event loops -----------------------------------------------------------------------------

    def wait_async(self, n=1, /):
        """``await ring.wait_async(n)``: `wait` in a coroutine; the event loop goes on meanwhile.

        Parameters
        ----------
        n : int
            At most the capacity of one ring times the number of producers.

        Returns
        -------
        coroutine
            Of a bool: whether they are there. False means that all rings are closed and hold fewer.
        """
        return wait_async(self, n)

    def ablocks(self, n=None, /):
        """``async for block in ring.ablocks(n)``: as `blocks`, in a coroutine.

        Parameters
        ----------
        n : int, optional
            Items in a block, at most; all there are by default.
        """
        return async_blocks(self, block_size(n, PY_SSIZE_T_MAX))

    def _begin_wait(self, n, /):
        """For `aio`: enter the consumer's side; the descriptor that becomes readable."""
        self.check_wait(n)
        self.enter()
        try:
            return self.consumer.listen()
        except BaseException:
            self.leave(self.count)
            raise

    def _ask(self, n, /):
        """For `aio`: ask for a wake; True if there will be none, since the wait is over."""
        self.check_made()
        return self.consumer.ask(n)

    def _end_wait(self, n, /):
        """For `aio`: leave the consumer's side; whether n items are there."""
        self.check_made()
        try:
            there = self.consumer.listen_no_more(n)
            if not there:
                self.settle()
        finally:
            self.leave(self.count)
        return there
