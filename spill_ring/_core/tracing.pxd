"""Tracing: how `history` finds out where the items are that a sink was sent."""
cimport cython

from spill_ring._core.guard cimport Guarded


# Asks a sink, by `Sink.trace`, for one of these answers; a sink from which items can't be read back gives none.
cdef class Tracer:
    # Only asks who keeps items, so a sink isn't entered for it. (A LockedSink still takes its lock, as in `bind`.)
    cdef bint is_attaching
    # Set by `keeps`: the items that the tracer wants, by the sink's own numbers, and what errors call the first.
    cdef long long start
    cdef Py_ssize_t count
    cdef object number

    # "I keep these": of the items that the sink got, numbered from 0, those from `first` up to `end`. `was_changed`:
    # they were changed in another way than by sending, so nobody can tell which is which. The tracer returns True if
    # it wants items: then the sink passes a copy of them to `give`.
    cdef bint keeps(self, object sink, long long end, long long first, bint was_changed) except -1
    cdef int give(self, object items) except -1
    # "I pass all on to those": for each target also the last items that it has yet to get, a list or ndarray.
    cdef int passes_on(self, list targets, list pending) except -1
    # "They are here or there, but now nobody can tell", with the reason.
    cdef int cannot_tell(self, str why) except -1
    # "I am closed, and don't look for them", with what the error says.
    cdef int is_closed(self, str why) except -1

    # Keep other threads out of a sink while it answers; but not while a ring is attached, when the sink may be in use.
    @cython.final
    cdef inline int enter(self, Guarded sink) except -1:
        return 0 if self.is_attaching else sink.enter()

    @cython.final
    cdef inline void leave(self, Guarded sink) noexcept:
        if not self.is_attaching:
            sink.leave()


# An error that names items by number.
cdef object items_error(object kind, object first, object count, str why, str one=*, str many=*)
