"""Lending: a sink that keeps items in a row may let a ring write single values into its memory, without a call."""
cimport cython

from spill_ring._core.sink cimport Sink


# While the sink's state is SR_WINDOW, the ring that sends here writes items at `cursor` itself and moves it, up to
# `window_end`. They are in as they are written, but the sink's own count stands at `window_start`: attributes that
# anyone may ask for at any time add `uncounted`, and `enter` has them counted first.
cdef class LendingSink(Sink):
    cdef char *cursor
    cdef char *window_start
    cdef char *window_end

    # The sink is entered. Point `cursor` to where the next items go, and return how many contiguous slots are free
    # there: 0 if items have to be sent, since a full ring has to evict first.
    cdef Py_ssize_t lend_slots(self) noexcept nogil
    # Count the items that were written there; maybe none.
    cdef void count_window(self, Py_ssize_t count) noexcept nogil

    @cython.final
    cdef bint open_window(self) noexcept nogil  # to SR_WINDOW, if there are slots to lend

    # Enter, which closes an open window. Returns SR_OPEN, or the state that keeps everybody out.
    @cython.final
    cdef int try_enter(self) noexcept nogil

    @cython.final
    cdef inline Py_ssize_t uncounted(self) noexcept nogil:
        """Items that were written into the window, and that the sink's count doesn't include yet."""
        return 0 if self.cursor == self.window_start else (self.cursor - self.window_start) // self.itemsize
