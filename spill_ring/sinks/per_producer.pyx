"""A sink of its own for each producer."""
cimport cython
from cpython.object cimport PyObject

from spill_ring._core.delivery cimport refuse_async
from spill_ring._core.chain cimport add_user, begin_init, drop_user, enter_chain, leave_chain
from spill_ring.sinks.function cimport as_sink
from spill_ring._core.guard cimport SR_CLOSED, SR_MAKING, SR_NEW, sr_state_load
from spill_ring._core.sink cimport bound_dtype, Sink, deliver_any

import operator


cdef class ProducerSink(Sink):
    """ProducerSink(factory)\n--\n
    Makes each producer a sink of its own.

    Parameters
    ----------
    factory : callable
        ``factory(i)`` returns the sink of producer i, and is called when that is first needed. If two threads ask at
        once, it may be called twice; then one of the two sinks is used.

    Notes
    -----
    A ring with one producer is producer 0. **Thread safety.** :meth:`producer` and sending from one
    thread for each producer; the sinks share nothing here.

    >>> sinks = ProducerSink(lambda i: CollectSink())
    >>> ring = ArrayRing(2, sink=sinks)
    >>> ring.extend([1, 2, 3])
    >>> sinks.producer(0).items
    array([1.])
    """

    def __cinit__(self, *args, **kwargs):
        self.state = SR_NEW

    def __init__(self, factory):
        refuse_async(factory, factory)
        if not callable(factory):
            raise TypeError(f"factory must be a callable that makes a sink for a producer, not {factory!r}")
        begin_init(self, None)
        self.given = {}
        self.made = {}
        self.used = set()
        self.factory = factory
        self.leave()

    def producer(self, index, /):
        """The sink of producer `index`, as the factory made it.

        Parameters
        ----------
        index : int
            From 0.
        """
        number = operator.index(index)
        if number < 0:
            raise ValueError(f"producers count from 0, not {index}")
        if number not in self.given:
            self.sink_of(number)
        return self.given[number]

    cdef Sink sink_of(self, object index):
        cdef Sink sink = self.made.get(index)
        cdef Sink other
        if sink is None:
            if sr_state_load(&self.state) == SR_CLOSED:
                self.raise_for_state(SR_CLOSED)
            given = self.factory(index)
            sink = as_sink(given)
            if self.is_bound:
                sink.bind(bound_dtype(self))
            with cython.critical_section(self):
                other = self.made.get(index)
                if other is not None:  # another thread made one for the same index meanwhile
                    return other
                self.given[index] = given
                self.made[index] = sink
            if self.is_bound:  # it may have been bound meanwhile
                sink.bind(bound_dtype(self))
                self.use(index, sink)
        return sink

    cdef int bind(self, object dtype) except -1:
        if sr_state_load(&self.state) <= SR_MAKING:
            self.raise_for_state(SR_NEW)
        self.bind_made(dtype)
        Sink.bind(self, dtype)
        return self.bind_made(dtype)  # again, for sinks that were made meanwhile

    cdef int bind_made(self, object dtype) except -1:
        cdef Sink sink
        cdef int steps
        for index, sink in list(self.made.items()):
            steps = enter_chain(sink)
            try:
                sink.bind(dtype)
            finally:
                leave_chain(steps)
            self.use(index, sink)
        return 0

    cdef list targets(self):
        return list(self.made.values())

    cdef int use(self, object index, Sink sink) except -1:
        """Become a user of a sink: only after a ring was attached here. Until then others use and close the sink."""
        with cython.critical_section(self):
            if index not in self.used:
                add_user(self, sink)
                self.used.add(index)
        return 0

    cdef int send_on(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        cdef Sink sink = self.sink_of(0)
        cdef int steps = enter_chain(sink)
        try:
            return deliver_any(sink, self.item_type, items, count, taken)
        finally:
            leave_chain(steps)

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        return self.send_on(items, count, taken)

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        return self.send_on(items, count, taken)

    def flush(self):
        """Flush every sink that was made."""
        for sink in list(self.made.values()):
            sink.flush()

    def close(self):
        """Close every sink that was made; the first error is raised after the last."""
        cdef Sink sink
        failure = None
        if sr_state_load(&self.state) == SR_CLOSED:
            return
        for index in list(self.made):
            sink = self.made.pop(index, None)  # so that only one thread drops it
            if sink is None:
                continue
            try:
                if index in self.used:
                    drop_user(sink)
                elif sink.n_users == 0:
                    sink.close()
            except BaseException as error:
                self.made[index] = sink
                failure = error if failure is None else failure
        if failure is not None:
            raise failure
        self.mark_closed()

    @property
    def factory(self):
        """What makes the sinks."""
        return self.factory

    def __repr__(self):
        return f"ProducerSink({self.factory!r})"
