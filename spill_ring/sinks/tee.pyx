"""Everything to several sinks."""
cimport numpy as cnp
from cpython.object cimport PyObject

from spill_ring._core.chain cimport add_user, begin_init, drop_user
from spill_ring._core.lifecycle cimport warn_lost
from spill_ring._core.block cimport copy_block
from spill_ring.sinks.function cimport as_sink
from spill_ring._core.guard cimport SR_CLOSED, SR_MAKING, SR_NEW, sr_state_store, sr_state_load
from spill_ring._core.sink cimport TRACED, Sink, declare_traits, deliver_any
from spill_ring._core.tracing cimport Tracer

cnp.import_array()


cdef extern from "Python.h":
    PyObject **PySequence_Fast_ITEMS(object o)


cdef class TeeSink(Sink):
    """TeeSink(*sinks)\n--\n
    Sends everything to several sinks.

    Parameters
    ----------
    *sinks : sink
        Each gets every item once, in order.

    Notes
    -----
    The first sink decides: what it refuses, the tee refuses. When a later one raises, the tee has
    taken the block and owes that sink its part, at most one block; it raises, and pays before it
    takes anything more. **Thread safety.** One thread at a time; a second is refused.
    """

    def __cinit__(self, *args, **kwargs):
        self.is_guarded = True
        declare_traits(self, TeeSink, TRACED)
        self.state = SR_NEW

    def __init__(self, *sinks):
        cdef Sink target
        if not sinks:
            raise TypeError("TeeSink needs at least one sink")
        targets = [as_sink(given) for given in sinks]
        begin_init(self, None)
        try:
            for target in targets:
                add_user(self, target)
        except BaseException:
            sr_state_store(&self.state, SR_NEW)
            raise
        self.sinks_behind = targets
        self.owed = [None] * len(sinks)
        self.has_dropped = [False] * len(sinks)
        self.sinks = sinks
        self.leave()

    cdef list targets(self):
        return self.sinks_behind

    cdef int trace(self, Tracer tracer) except -1:
        tracer.enter(self)
        try:
            return tracer.passes_on(self.sinks_behind, [() if owed is None else owed for owed in self.owed])
        finally:
            tracer.leave(self)

    cdef int bind(self, object dtype) except -1:
        cdef Sink target
        if sr_state_load(&self.state) <= SR_MAKING:
            self.raise_for_state(SR_NEW)
        for target in self.sinks_behind:
            target.bind(dtype)
        return Sink.bind(self, dtype)

    cdef int send_to_all(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        cdef Py_ssize_t sent
        cdef Py_ssize_t accepted = count
        self.pay_all()
        failure = None
        for i in range(len(self.sinks_behind)):
            sent = 0
            try:
                deliver_any(self.sinks_behind[i], self.item_type, items, accepted, &sent)
            except BaseException as error:
                failure = error if failure is None else failure
                if i == 0:
                    accepted = sent
                elif sent < accepted:
                    self.owed[i] = self.copied(items, sent, accepted)
            if accepted == 0:
                break
        taken[0] += accepted
        if failure is not None:
            raise failure
        return 0

    cdef object copied(self, const void *items, Py_ssize_t start, Py_ssize_t stop):
        cdef Py_ssize_t i
        if self.item_type is None:
            return [<object>(<PyObject **>items)[i] for i in range(start, stop)]
        return copy_block(self.item_type, <const char *>items + start * self.itemsize, stop - start)

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        return self.send_to_all(items, count, taken)

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        return self.send_to_all(items, count, taken)

    cdef int pay(self, Py_ssize_t i) except -1:
        """Deliver what is owed to a sink from a call that failed."""
        cdef Py_ssize_t sent = 0
        cdef void *items
        owed = self.owed[i]
        if owed is None:
            return 0
        items = PySequence_Fast_ITEMS(owed) if self.item_type is None else cnp.PyArray_DATA(owed)
        try:
            deliver_any(self.sinks_behind[i], self.item_type, items, len(owed), &sent)
        finally:
            self.owed[i] = owed[sent:] if sent < len(owed) else None
        return 0

    cdef int pay_all(self) except -1:
        for i in range(len(self.owed)):
            self.pay(i)
        return 0

    cdef int each(self, str call) except -1:
        """Pay each sink, then flush or close it; the first error is raised after the last sink."""
        cdef Sink target
        failure = None
        self.enter()
        try:
            for i, target in enumerate(self.sinks_behind):
                try:
                    self.pay(i)
                    if call == "close":
                        if not self.has_dropped[i]:
                            drop_user(target)
                            self.has_dropped[i] = True
                    elif sr_state_load(&target.state) != SR_CLOSED:
                        target.flush()
                except BaseException as error:
                    failure = error if failure is None else failure
        finally:
            self.leave()
        if failure is not None:
            raise failure
        return 0

    def flush(self):
        """Deliver what is owed, then flush all sinks; the first error is raised after the last."""
        self.each("flush")

    def close(self):
        """Deliver what is owed, then close all sinks; the first error is raised after the last.

        A sink that is still owed something then stays open, and closing again goes on from there.
        """
        if sr_state_load(&self.state) != SR_CLOSED:
            self.each("close")
            self.mark_closed()

    def __del__(self):
        cdef int state = sr_state_load(&self.state)
        if state <= SR_MAKING or state == SR_CLOSED or not any(owed is not None for owed in self.owed):
            return
        try:
            self.enter()  # a sink that is paid may know the tee, and come back
            try:
                self.pay_all()
            finally:
                self.leave()
        except BaseException as error:
            warn_lost(self, sum(len(owed) for owed in self.owed if owed is not None), error)

    @property
    def sinks(self):
        """The sinks, as they were given."""
        return self.sinks or ()

    def __repr__(self):
        return f"TeeSink({', '.join(map(repr, self.sinks or ()))})"
