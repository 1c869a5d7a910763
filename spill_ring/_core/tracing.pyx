"""Tracing: how `history` finds out where the items are that a sink was sent."""


cdef class Tracer:
    """What a sink answers to; a subclass knows what to do with the answers. Not made by hand."""

    cdef bint keeps(self, object sink, long long end, long long first, bint was_changed) except -1:
        return False

    cdef int give(self, object items) except -1:
        return 0

    cdef int passes_on(self, list targets, list pending) except -1:
        return 0

    cdef int cannot_tell(self, str why) except -1:
        return 0

    cdef int is_closed(self, str why) except -1:
        return 0


cdef object items_error(object kind, object first, object count, str why, str one="", str many=""):
    what = f"item {first} {one}" if count == 1 else f"items {first} to {first + count} {many}"
    return kind(f"{what.strip()} {why}")
