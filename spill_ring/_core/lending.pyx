"""Lending: a sink that keeps items in a row may let a ring write single values into its memory, without a call."""
from spill_ring._core.guard cimport SR_BUSY, SR_OPEN, SR_WINDOW, sr_state_cas, sr_state_store
from spill_ring._core.sink cimport Sink


cdef class LendingSink(Sink):
    """A sink that may lend its memory to the ring in front of it: a `CollectSink`, a ring. Not made by hand."""

    def __cinit__(self, *args, **kwargs):
        self.is_guarded = True  # entering closes the window; a subclass that is not guarded lends nothing

    cdef Py_ssize_t lend_slots(self) noexcept nogil:
        return 0

    cdef void count_window(self, Py_ssize_t count) noexcept nogil:
        pass

    cdef int enter_slow(self, int found) except -1 nogil:
        if found == SR_WINDOW:
            found = self.try_enter()
        return 0 if found == SR_OPEN else self.raise_for_state(found)

    cdef int try_enter(self) noexcept nogil:
        cdef int found
        while True:
            found = sr_state_cas(&self.state, SR_OPEN, SR_BUSY)
            if found != SR_WINDOW:
                return found
            found = sr_state_cas(&self.state, SR_WINDOW, SR_BUSY)
            if found == SR_WINDOW:
                break
            if found != SR_OPEN:
                return found
            # Another thread has closed the window and left meanwhile.
        self.count_window(self.uncounted())
        self.window_start = self.cursor
        self.window_end = NULL
        return SR_OPEN

    cdef bint open_window(self) noexcept nogil:
        cdef Py_ssize_t n_free
        if not self.is_guarded or self.try_enter() != SR_OPEN:
            return False
        n_free = self.lend_slots()
        self.window_start = self.cursor
        self.window_end = self.cursor + n_free * self.itemsize
        sr_state_store(&self.state, SR_WINDOW if n_free else SR_OPEN)
        return n_free > 0
