"""Several producers, each with a ring of its own, and one consumer that merges them while they run."""
from cpython.object cimport PyObject

from spill_ring._core.arguments cimport capacity_of
from spill_ring._core.guard cimport SR_CLOSED, SR_MAKING, SR_NEW, SR_OPEN, sr_state_cas, sr_state_load, sr_state_store
from spill_ring._core.sink cimport DropSink
from spill_ring._core.status cimport raise_negative
from spill_ring.sinks.locked cimport LockedSink
from spill_ring.sinks.per_producer cimport ProducerSink
from spill_ring.threads.consumer cimport Consumer
from spill_ring.threads.consumer_methods cimport add_consumer_methods
from spill_ring.threads.spsc cimport SpscRing

from types import GenericAlias

from spill_ring.rings.base import Stats


cdef enum:
    MAX_PRODUCERS = 65536


cdef class MpscRing(Guarded):
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
        sink of its own; any other sink is shared, with a lock. Without a sink evicted items are dropped.
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

    **Thread safety.** One thread at a time for each producer, and one for the consumer's calls: all methods
    here except `flush` and `close`. A second thread gets a `RuntimeError`. `flush` and `close`
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
        cdef SpscRing ring
        if count > MAX_PRODUCERS:
            raise ValueError(f"producers must be at most {MAX_PRODUCERS}, not {count}")
        cdef list rings = make_rings(capacity, dtype, sink, count)
        ring = rings[0]
        consumer = Consumer(count, ring.item_type, ring.record, True)
        if sr_state_cas(&self.state, SR_NEW, SR_MAKING) != SR_NEW:  # last, since making sinks may run Python
            raise RuntimeError(f"{type(self).__name__} is initialised already")
        for ring in rings:
            consumer.add(ring.shared)  # a push into any ring wakes the one consumer
            ring.consumer.parking = consumer.parking
        self.consumer = consumer
        self.sink_as_given = sink
        self.item_type = consumer.item_type
        self.rings = tuple(rings)
        sr_state_store(&self.state, SR_OPEN)

    @classmethod
    def __class_getitem__(cls, item):
        """``MpscRing[str, list[str]]``, for annotations."""
        return GenericAlias(cls, item)

    # -- the consumer's side ---------------------------------------------------------------------

    cdef bint wait_items(self, Py_ssize_t count, long long deadline) except -1 nogil:
        return self.consumer.wait(count, deadline)

    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil:
        if count < 0:
            raise_negative(count)
        self.consumer.ensure_sides_atomic()
        self.consumer.enter()
        count = self.consumer.pop_block(<char *>out, count)
        self.consumer.leave()
        return count

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
            All rings are closed and have released their sinks.
        Exception
            The first that a sink raised, after the last ring; what it didn't take is still there.
        """
        cdef SpscRing ring
        # A ring that is closed and has released its sink raises. Here that is an error only if all rings have.
        open_rings = [
            ring for ring in self.producers
            if not ring.closed or ring.target is not None and sr_state_load(&ring.shared.sink_state) != SR_CLOSED
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

    def abandon(self):
        """Say that nobody will take from the rings any more: as `SpscRing.abandon`, of every producer's ring."""
        for ring in self.producers:
            ring.abandon()

    # -- any thread ------------------------------------------------------------------------------

    @property
    def producers(self):
        """A tuple of an `SpscRing` for each producer."""
        self.check_initialised()
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
        """The sink, as it was given; None if evicted items are dropped."""
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

    def __repr__(self):
        kind = "objects" if self.item_type is None else str(self.item_type)
        closed = ", closed" if self.closed else ""
        return f"<MpscRing: {len(self)} {kind}, capacity={self.capacity}, producers={len(self.producers)}{closed}>"


cdef list make_rings(object capacity, object dtype, object sink, Py_ssize_t count):
    cdef Py_ssize_t i
    if isinstance(sink, ProducerSink):
        return [SpscRing(capacity, dtype, sink.producer(i)) for i in range(count)]
    shared = sink
    if sink is not None and type(sink) is not DropSink and not isinstance(sink, LockedSink):
        shared = LockedSink(sink)
    return [SpscRing(capacity, dtype, shared) for _ in range(count)]


cdef PyObject *get_consumer(object ring) noexcept:
    return <PyObject *>(<MpscRing>ring).consumer


add_consumer_methods(MpscRing, get_consumer)
