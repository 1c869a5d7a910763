"""Blocks of n items each, for the target."""
from spill_ring._core.cpython cimport PySequence_Fast_ITEMS
from spill_ring.sinks.grouping cimport GroupingSink
from spill_ring._core.sink cimport TRACED, declare_traits, deliver, deliver_objects
from spill_ring._core.tracing cimport Tracer


cdef class BatchSink(GroupingSink):
    """BatchSink(n, sink)\n--\n
    Forwards items in full blocks of n.

    Parameters
    ----------
    n : int
        Items in a block, at least 1.
    sink : sink
        Gets the blocks.

    Notes
    -----
    Holds up to n items, which ``len`` counts and :meth:`flush` forwards. Blocks that arrive whole
    are forwarded without a copy. **Thread safety.** One thread at a time; a second is refused.

    >>> ring = ArrayRing(2, "i8", sink=BatchSink(3, print))
    >>> ring.extend(range(10))
    [0 1 2]
    [3 4 5]
    >>> ring.close()
    [6 7 8]
    [9]
    """

    def __init__(self, n, sink):
        self.attach_groups(n, sink)
        declare_traits(self, BatchSink, TRACED)
        self.passes_unchanged = True
        self.open_bound()

    cdef int trace(self, Tracer tracer) except -1:
        tracer.enter(self)
        try:
            pending = self.objects if self.item_type is None else self.group[:self.n_filled]
            return tracer.passes_on([self.target], [pending])
        finally:
            tracer.leave(self)

    cdef int forward(self, const void *items, Py_ssize_t groups, Py_ssize_t *taken) except -1 nogil:
        cdef Py_ssize_t i
        for i in range(groups):
            deliver(self.target, <const char *>items + i * self.n * self.itemsize, self.n, taken)
        return 0

    cdef int forward_part(self, Py_ssize_t *taken) except -1 nogil:
        return deliver(self.target, self.group_data, self.n_filled, taken)

    cdef int forward_objects(self) except -1:
        cdef Py_ssize_t taken = 0
        try:
            group = tuple(self.objects)  # a copy that no other code can change
            deliver_objects(self.target, PySequence_Fast_ITEMS(group), len(group), &taken)
        finally:
            del self.objects[:taken]
        return 0

    def flush(self):
        """Forward the gathered items, fewer than n, then flush the target."""
        self.flush_groups(1)
        self.target.flush()
