"""What sinks share that send everything on to one other sink."""
from spill_ring._core.chain cimport begin_init, drop_user, may_close_unflushed
from spill_ring.sinks.function cimport as_sink
from spill_ring._core.guard cimport SR_CLOSED, SR_MAKING, SR_NEW, SR_OPEN, sr_add_fetch, sr_state_store, sr_state_load
from spill_ring._core.sink cimport Sink, bound_dtype


cdef class ForwardingSink(Sink):
    """What sinks share that send everything on to one other sink. Not made by hand."""

    def __cinit__(self, *args, **kwargs):
        self.state = SR_NEW

    def __init__(self):
        raise TypeError(
            f"{type(self).__name__} is what sinks share; "
            "make a BatchSink, a ReduceSink, a LockedSink or a BackgroundSink"
        )

    cdef int attach(self, object given) except -1:
        cdef Sink target = as_sink(given)
        begin_init(self, target)  # last, because making a sink of what was given may run Python
        self.sink = given
        self.target = target
        return 0

    cdef int open_bound(self) except -1:
        """Open the sink. If its target is bound to a dtype, bind the sink to it too."""
        self.leave()
        return self.bind(bound_dtype(self.target)) if self.target.is_bound else 0

    cdef int bind(self, object dtype) except -1:
        if sr_state_load(&self.state) <= SR_MAKING:
            self.raise_for_state(SR_NEW)
        self.target.bind(dtype)
        return Sink.bind(self, dtype)

    cdef list undelivered(self, Py_ssize_t n_skipped):
        return self.target.undelivered(n_skipped)

    cdef int flush_groups(self, Py_ssize_t min_count) except -1:
        """Send on the gathered items, if there are at least so many."""
        self.enter()
        try:
            self.forward_all(min_count)
        finally:
            self.leave()
        return 0

    cdef int forward_all(self, Py_ssize_t min_count) except -1:
        """The same; the sink is entered."""
        return 0

    def flush(self):
        """Flush the target."""
        self.target.flush()

    def close(self):
        """Flush, then close the target."""
        cdef int state = SR_OPEN
        if sr_state_load(&self.state) == SR_CLOSED:
            return
        try:
            self.flush()
        except Exception:
            if not may_close_unflushed(self):
                raise
        self.enter()
        try:
            self.forward_all(1)  # items may have come meanwhile; from now on none can
            drop_user(self.target)
            state = SR_CLOSED
        finally:
            sr_state_store(&self.state, state)

    def __del__(self):
        cdef int state = sr_state_load(&self.state)
        if state > SR_MAKING and state != SR_CLOSED:
            sr_add_fetch(&self.target.n_users, -1)  # else the target would stay open after its last user's close

    @property
    def sink(self):
        """The sink that everything is sent on to, as it was given."""
        return self.sink

    def __repr__(self):
        return f"{type(self).__name__}({self.sink!r})"
