"""The consumer's calls from Python, which SpscRing and MpscRing share."""
cimport numpy as cnp
from cpython.object cimport PyObject, PyObject_TypeCheck, PyTypeObject

from spill_ring._core.block cimport is_block
from spill_ring._core.conversion cimport as_destination
from spill_ring._core.cpython cimport PY_SSIZE_T_MAX, Py_DECREF, PyType_Modified
from spill_ring._core.guard cimport SR_NEW, Guarded
from spill_ring._core.sink cimport Sink
from spill_ring._core.arguments cimport count_of
from spill_ring.serialization.record cimport load_item
from spill_ring.sinks.function cimport as_sink
from spill_ring.threads.consumer cimport Consumer, are_closed
from spill_ring.threads.core cimport sr_finish, sr_slot, sr_spsc
from spill_ring.threads.eviction cimport SinkContext, empty_trash
from spill_ring.threads.parking cimport deadline_of, deadline_of_pop

from spill_ring.threads.event_loop import async_blocks, wait_async

cnp.import_array()


cdef extern from "methods.h":
    int sr_copy_method(PyTypeObject *cls, object name, object method) except -1


cdef class ConsumerMethods:
    """The methods of both classes. `self` is an object of one of them, and never of this class."""

    def __init__(self):
        raise TypeError("ConsumerMethods are for SpscRing and MpscRing; make one of those")

    def wait(self, n=1, /, timeout=None):
        """Wait until there are n items, of an `MpscRing` in all rings together. The consumer's. O(producers).

        Parameters
        ----------
        n : int
            At most the capacity, times the number of producers.
        timeout : float, optional
            Seconds; for ever by default.

        Returns
        -------
        bool
            Whether they are there. False means that the time is over, or that the ring is closed and holds fewer.

        Raises
        ------
        ValueError
            `n` is negative or more than the ring can hold; `timeout` is negative or no number.
        RuntimeError
            Another thread is on the consumer's side, or a `read` is open.
        """
        cdef Consumer consumer = <Consumer>consumer_of(self)
        cdef Py_ssize_t count = count_for_wait(consumer, n)
        cdef long long deadline = deadline_of(timeout)
        consumer.enter()
        try:
            return consumer.wait_gil(count, deadline)
        finally:
            consumer.leave()

    def pop(self, default=..., *, timeout=0):
        """Remove and return the oldest item, of an `MpscRing` that of the producer whose turn it is. The consumer's.

        O(1), of an `MpscRing` O(producers).

        Parameters
        ----------
        default : object, optional
            Returned if there is no item.
        timeout : float or None
            Seconds to wait for one; None waits for ever, or until the ring is closed.

        Raises
        ------
        IndexError
            There is no item, and no default was given.
        RuntimeError
            Another thread is on the consumer's side, or a `read` is open.
        """
        return pop_from(<Consumer>consumer_of(self), self, default, timeout)

    def pop_many(self, n=None, *, timeout=0):
        """Remove the oldest items, of an `MpscRing` in fair shares of all producers. The consumer's. O(n + producers).

        Parameters
        ----------
        n : int, optional
            How many; all of them by default, fewer if there are fewer.
        timeout : float or None
            Seconds to wait for at least one; None waits for ever, or until the ring is closed.

        Returns
        -------
        ndarray or list
            The items of each producer, oldest first. They follow each other: nothing was evicted between them.

        Raises
        ------
        ValueError
            `n` is negative.
        RuntimeError
            Another thread is on the consumer's side, or a `read` is open.
        """
        return pop_many_from(<Consumer>consumer_of(self), n, timeout)

    def pop_into(self, out, /, *, timeout=0):
        """Remove the oldest items into an array of the caller's, of an `MpscRing` in fair shares. The consumer's.

        Not for a ring of objects.

        Parameters
        ----------
        out : ndarray or writable buffer
            As for `ArrayRing.pop_into`; of an `MpscRing` C-contiguous and of the ring's own dtype.
        timeout : float or None
            Seconds to wait for at least one; None waits for ever, or until the ring is closed.

        Returns
        -------
        int
            Items removed: the first so many of `out` are new.

        Raises
        ------
        TypeError
            The ring holds objects; `out` is no buffer, or of another kind of dtype.
        ValueError
            `out` is read-only, has another shape or layout, or no room for a single item.
        RuntimeError
            Another thread is on the consumer's side, or a `read` is open.
        """
        cdef Consumer consumer = <Consumer>consumer_of(self)
        cdef long long deadline = deadline_of_pop(timeout)
        if consumer.item_type is None:
            raise TypeError(f"a {type(self).__name__} of objects has nothing to copy: use pop_many")
        array = as_destination(out, consumer.item_type)
        cdef bint is_plain = is_block(array, consumer.item_type)
        if not is_plain and consumer.is_merging:
            raise ValueError(f"out must be C-contiguous, of dtype {consumer.item_type}; use pop_many for another one")
        consumer.enter()
        try:
            if is_plain:
                return consumer.pop_into(cnp.PyArray_DATA(array), cnp.PyArray_DIM(array, 0), deadline)
            return consumer.pop_converted(array, deadline)
        finally:
            consumer.leave()

    def drain(self, sink, /, *, timeout=0):
        """Move everything into another sink, in order, in as few blocks as there are runs. The consumer's. O(n).

        Of an `MpscRing` the items of one producer come after those of the other.

        Parameters
        ----------
        sink : sink
            A ring, a `Sink`, a callable, or an object with ``send``.
        timeout : float or None
            Seconds to wait for at least one item; None waits for ever, or until the ring is closed.

        Returns
        -------
        int
            Items moved.

        Raises
        ------
        ValueError, TypeError
            The sink is this ring or a producer's, is closed, or takes other items.
        Exception
            Whatever the sink raises; then what it took has left the ring and the rest is still here.
        """
        cdef Consumer consumer = <Consumer>consumer_of(self)
        cdef long long deadline = deadline_of_pop(timeout)
        cdef Sink target = as_sink(sink)
        cdef SinkContext out = SinkContext(NULL, NULL, NULL, 0, 0)
        cdef Py_ssize_t i, count
        for i in range(consumer.rings.count):
            if consumer.rings.rings[i].ring == <void *>target:
                raise ValueError("rings can't be drained into themselves")
        target.bind(consumer.item_type)
        consumer.enter()
        try:
            consumer.wait_gil(1, deadline)
            count = consumer.send_to(target, PY_SSIZE_T_MAX, &out)
            consumer.release_sinks()
            return count
        finally:
            consumer.leave()
            empty_trash(&out)  # only now, since a destructor may pop here

    def clear(self):
        """Drop the content; the sink sees nothing of it. The consumer's. O(1), of objects O(n).

        Raises
        ------
        RuntimeError
            Another thread is on the consumer's side, or a `read` is open; then nothing is dropped.
        """
        cdef Consumer consumer = <Consumer>consumer_of(self)
        cdef list dropped = []  # and freed when this returns
        consumer.enter()
        try:
            consumer.clear(dropped)
        finally:
            consumer.leave()

    def blocks(self, n=None, /):
        """Iterate over blocks of up to n items as they come, until the ring is closed and empty. The consumer's.

        Each block is a `pop_many` that waits. The consumer may make other calls between two of them.

        Parameters
        ----------
        n : int, optional
            At least 1; as many as there are by default.

        Yields
        ------
        ndarray or list
            At least one item, as of `pop_many`.

        Raises
        ------
        ValueError
            `n` is not at least 1.
        """
        return iter_blocks(self, block_size(self, n))

    def ablocks(self, n=None, /):
        """``async for block in ring.ablocks(n)``: as `blocks`, in a coroutine. The consumer's.

        Parameters
        ----------
        n : int, optional
            Items in a block, at most; as many as there are by default.
        """
        return async_blocks(self, block_size(self, n))

    def wait_async(self, n=1, /):
        """``await ring.wait_async(n)``: as `wait`, in a coroutine. The consumer's.

        The event loop goes on meanwhile, and a producer's push wakes the coroutine.

        Parameters
        ----------
        n : int
            At most the capacity, times the number of producers.

        Returns
        -------
        coroutine
            Of a bool: whether they are there. False means that the ring is closed and holds fewer.
        """
        return wait_async(self, n)

    def _begin_wait(self, n, /):
        """For `event_loop`: enter the consumer's side, and return the descriptor that becomes readable."""
        cdef Consumer consumer = <Consumer>consumer_of(self)
        count_for_wait(consumer, n)
        consumer.enter()
        try:
            return consumer.listen()
        except BaseException:
            consumer.leave()
            raise

    def _request_wake(self, n, /):
        """For `event_loop`: ask for a wake. True if none will come, since the wait is over."""
        return (<Consumer>consumer_of(self)).request_wake(n)

    def _end_wait(self, n, /):
        """For `event_loop`: leave the consumer's side. True if n items are there."""
        cdef Consumer consumer = <Consumer>consumer_of(self)
        cdef bint is_there
        try:
            is_there = consumer.unlisten(n)
            if not is_there:
                consumer.release_sinks()
            return is_there
        finally:
            consumer.leave()


# -- the consumer of an object ---------------------------------------------------------------------------

cdef PyTypeObject *first_class = NULL  # and where its objects, and its subclasses', have their consumer
cdef consumer_getter first_getter, second_getter


cdef int add_consumer_methods(type cls, consumer_getter get) except -1:
    global first_class, first_getter, second_getter
    if first_class == NULL:
        first_class, first_getter = <PyTypeObject *>cls, get
    elif second_getter == NULL:
        second_getter = get
    else:
        raise TypeError(f"{cls.__name__} would be the third consumer, and consumer_of tells two apart")
    for name, method in ConsumerMethods.__dict__.items():
        if type(method) is type(ConsumerMethods.wait):
            sr_copy_method(<PyTypeObject *>cls, name, method)
    PyType_Modified(cls)
    return 0


cdef inline PyObject *consumer_of(object ring) except NULL:
    """The `Consumer` of a ring: a borrowed reference, since counting it would take a fifth of a `pop`'s time."""
    cdef consumer_getter get = first_getter if PyObject_TypeCheck(ring, first_class) else second_getter
    consumer = get(ring)
    if consumer == <PyObject *>None:
        (<Guarded>ring).raise_for_state(SR_NEW)
    return consumer


# -- parts of the methods --------------------------------------------------------------------------------

cdef inline object pop_from(Consumer consumer, object ring, object default, object timeout):
    cdef long long deadline = deadline_of_pop(timeout)
    cdef sr_spsc *core
    consumer.enter()
    try:
        while True:
            core = consumer.claim_one()
            if core != NULL:
                return take_claimed(consumer, core)
            if not consumer.wait_slow(1, deadline):
                break
        if default is ...:
            ended = " and closed" if are_closed(&consumer.rings) else ""
            raise IndexError(f"pop from an empty{ended} {type(ring).__name__}")
        return default
    finally:
        consumer.leave()


cdef inline object pop_many_from(Consumer consumer, object n, object timeout):
    cdef Py_ssize_t count = PY_SSIZE_T_MAX if n is None else count_of(n)
    cdef long long deadline = deadline_of_pop(timeout)
    consumer.enter()
    try:
        return consumer.pop_many(count, deadline)
    finally:
        consumer.leave()


cdef inline object take_claimed(Consumer consumer, sr_spsc *core):
    """The first claimed item, which leaves its ring. The reference of an object goes along."""
    cdef void *slot = sr_slot(core, core.claimed)
    cdef PyObject *pointer
    if consumer.item_type is not None:
        item = load_item(consumer.record, consumer.item_type, slot)
    else:
        pointer = (<PyObject **>slot)[0]
        item = <object>pointer
        (<PyObject **>slot)[0] = NULL
        Py_DECREF(pointer)  # `item` has a reference of its own
    sr_finish(core, 1)
    return item


cdef Py_ssize_t count_for_wait(Consumer consumer, object n) except -1:
    cdef Py_ssize_t count = count_of(n)
    if count > consumer.capacity:
        raise ValueError(f"can't wait for {n} items: there is room for {consumer.capacity} at most")
    return count


cdef Py_ssize_t block_size(object ring, object n) except -1:
    cdef Py_ssize_t count = (<Consumer>consumer_of(ring)).capacity if n is None else count_of(n)
    if count == 0:
        raise ValueError("a block of no items was asked for: n must be at least 1")
    return count


def iter_blocks(ring, n, /):
    while True:
        block = ring.pop_many(n, timeout=None)
        if len(block) == 0:
            return
        yield block
