"""Everything to several sinks."""
cimport numpy as cnp
from cpython.object cimport PyObject

from spill_ring._core.cpython cimport PySequence_Fast_ITEMS
from spill_ring._core.chain cimport add_user, begin_init, drop_user
from spill_ring._core.lifecycle cimport warn_lost
from spill_ring._core.block cimport copy_block
from spill_ring.sinks.function cimport as_sink
from spill_ring._core.guard cimport SR_CLOSED, SR_MAKING, SR_NEW, sr_state_store, sr_state_load
from spill_ring._core.sink cimport TRACED, Sink, count_items, declare_traits, deliver_any
from spill_ring._core.tracing cimport Tracer

cnp.import_array()


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
    taken the block. It keeps that sink's part, at most one block, raises, and delivers this backlog before
    it takes anything more; `pending` shows the backlog of the first sink that has one, and `skip` gives items of it
    up. **Thread safety.** One thread at a time; a second one gets a `RuntimeError`.
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
        self.backlogs = [None] * len(sinks)
        self.has_dropped = [False] * len(sinks)
        self.sinks = sinks
        self.leave()

    cdef list targets(self):
        return self.sinks_behind

    cdef int trace(self, Tracer tracer) except -1:
        tracer.enter(self)
        try:
            pending = [() if backlog is None else backlog for backlog in self.backlogs]
            return tracer.passes_on(self.sinks_behind, pending)
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
        self.deliver_backlogs()
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
                    self.backlogs[i] = self.copied(items, sent, accepted)
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

    cdef int deliver_backlog(self, Py_ssize_t i) except -1:
        """Deliver to a sink what it did not take in an earlier call."""
        cdef Py_ssize_t sent = 0
        cdef void *items
        backlog = self.backlogs[i]
        if backlog is None:
            return 0
        items = PySequence_Fast_ITEMS(backlog) if self.item_type is None else cnp.PyArray_DATA(backlog)
        try:
            deliver_any(self.sinks_behind[i], self.item_type, items, len(backlog), &sent)
        finally:
            self.backlogs[i] = backlog[sent:] if sent < len(backlog) else None
        return 0

    cdef list undelivered(self, Py_ssize_t n_skipped):
        """Of the first sink that has some, which keeps the others from theirs."""
        cdef Sink target
        cdef list parts
        if sr_state_load(&self.state) == SR_CLOSED:
            return []
        self.enter()
        try:
            for i, backlog in enumerate(self.backlogs):
                target = self.sinks_behind[i]
                parts = target.undelivered(n_skipped)
                n_skipped -= min(n_skipped, count_items(parts))
                if backlog is not None:
                    parts.append(backlog.copy())
                    self.backlogs[i] = backlog[n_skipped:] if n_skipped < len(backlog) else None
                if count_items(parts):
                    return parts
            return []
        finally:
            self.leave()

    cdef int deliver_backlogs(self) except -1:
        for i in range(len(self.backlogs)):
            self.deliver_backlog(i)
        return 0

    cdef int for_each_sink(self, int (*step)(TeeSink tee, Py_ssize_t i) except -1) except -1:
        """Do something with each sink; the first error is raised after the last sink."""
        cdef Py_ssize_t i
        failure = None
        self.enter()
        try:
            for i in range(len(self.sinks_behind)):
                try:
                    self.deliver_backlog(i)
                    step(self, i)
                except BaseException as error:
                    failure = error if failure is None else failure
        finally:
            self.leave()
        if failure is not None:
            raise failure
        return 0

    def flush(self):
        """Deliver every backlog, then flush all sinks; the first error is raised after the last sink."""
        self.for_each_sink(flush_sink)

    def close(self):
        """Deliver every backlog, then close all sinks; the first error is raised after the last sink.

        A sink that still has a backlog then stays open, and closing again goes on from there.
        """
        if sr_state_load(&self.state) != SR_CLOSED:
            self.for_each_sink(close_sink)
            self.mark_closed()

    def __del__(self):
        cdef int state = sr_state_load(&self.state)
        if state <= SR_MAKING or state == SR_CLOSED or not any(backlog is not None for backlog in self.backlogs):
            return
        try:
            self.enter()  # a sink may know the tee, and call it back
            try:
                self.deliver_backlogs()
            finally:
                self.leave()
        except BaseException as error:
            warn_lost(self, sum(len(backlog) for backlog in self.backlogs if backlog is not None), error)

    @property
    def sinks(self):
        """The sinks, as they were given."""
        return self.sinks or ()

    def __repr__(self):
        return f"TeeSink({', '.join(map(repr, self.sinks or ()))})"


cdef int flush_sink(TeeSink tee, Py_ssize_t i) except -1:
    cdef Sink target = tee.sinks_behind[i]
    if sr_state_load(&target.state) != SR_CLOSED:
        target.flush()
    return 0


cdef int close_sink(TeeSink tee, Py_ssize_t i) except -1:
    if not tee.has_dropped[i]:
        drop_user(tee.sinks_behind[i])
        tee.has_dropped[i] = True
    return 0
