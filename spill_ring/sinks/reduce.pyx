"""One reduced item for every n, for the target."""
cimport numpy as cnp
from cpython.object cimport PyObject

from spill_ring._core.block cimport copy_block
from spill_ring._core.conversion cimport as_block
from spill_ring._core.delivery cimport refuse_async
from spill_ring.sinks.forwarding cimport ForwardingSink
from spill_ring.sinks.grouping cimport GroupingSink
from spill_ring._core.guard cimport SR_CLOSED, SR_MAKING, SR_NEW, sr_state_load
from spill_ring._core.sink cimport bound_dtype, Sink, deliver, deliver_objects

import numpy as np

cnp.import_array()


cdef class ReduceSink(GroupingSink):
    """ReduceSink(n, reduce, sink)\n--\n
    Forwards one reduced item for every n: a chain of these is a history at several resolutions.

    Parameters
    ----------
    n : int
        Items that one reduced item stands for, at least 1.
    reduce : numpy.ufunc or callable
        A ufunc of two arguments is reduced over each n items, all that arrive in one numpy call. A
        callable gets n items, an ndarray of shape ``(n,) + dtype.shape`` or a list, and returns one:
        for frames, ``lambda block: block.mean(axis=0)``.
    sink : sink
        Gets the reduced items. A ring gives them its dtype, cast with ``casting="same_kind"``;
        behind any other sink they have the dtype of the first ones that `reduce` makes.

    Notes
    -----
    Holds up to n items, which ``len`` counts. `flush` leaves a group that isn't full where it is;
    `close` reduces it as it is, so that nothing is lost. **Thread safety.** One thread at a time; a
    second is refused.

    >>> import numpy as np
    >>> coarse = ArrayRing(100, "f8")
    >>> ring = ArrayRing(4, "f8", sink=ReduceSink(2, np.maximum, coarse))
    >>> ring.extend([3, 1, 4, 1, 5, 9, 2, 6])
    >>> coarse
    ArrayRing([3., 4.], capacity=100, dtype=float64)
    """

    def __init__(self, n, reduce, sink):
        if not callable(reduce):
            raise TypeError(f"reduce must be a ufunc or a callable, not {reduce!r}")
        refuse_async(reduce, reduce)
        if isinstance(reduce, np.ufunc) and reduce.nin != 2:
            raise TypeError(f"a ufunc that reduces takes two arguments, and {reduce!r} takes {reduce.nin}")
        self.attach_groups(n, sink)
        self.reduce = reduce
        self.leave()

    cdef int bind(self, object dtype) except -1:
        if sr_state_load(&self.state) <= SR_MAKING:
            self.raise_for_state(SR_NEW)
        if dtype is None or self.target.is_bound and bound_dtype(self.target) is None:
            self.target.bind(dtype)
        # Otherwise the dtype of the first reduced items is the one that the target is bound to.
        return Sink.bind(self, dtype)

    cdef int forward(self, const void *items, Py_ssize_t groups, Py_ssize_t *taken) except -1 with gil:
        block = copy_block(self.item_type, items, groups * self.n)
        block = block.reshape((groups, self.n) + block.shape[1:])
        if isinstance(self.reduce, np.ufunc):
            return self.forward_reduced(self.reduce.reduce(block, axis=1), self.n, taken)
        return self.forward_reduced([self.reduce(group) for group in block], self.n, taken)

    cdef int forward_part(self, Py_ssize_t *taken) except -1 with gil:
        block = copy_block(self.item_type, self.group_data, self.n_filled)
        reduced = self.reduce.reduce(block) if isinstance(self.reduce, np.ufunc) else self.reduce(block)
        return self.forward_reduced([reduced], self.n_filled, taken)

    cdef int forward_reduced(self, object reduced, Py_ssize_t n, Py_ssize_t *taken) except -1:
        """Send on items that stand for n each."""
        cdef cnp.ndarray block
        cdef Py_ssize_t sent = 0
        dtype = bound_dtype(self.target)
        if dtype is None:
            reduced = np.asarray(reduced)
            self.target.bind(np.dtype((reduced.dtype, reduced.shape[1:])))  # refused if it takes objects by now
            dtype = bound_dtype(self.target)
        if dtype is not None:
            block = as_block(reduced, dtype)
        else:  # a sink that takes anything
            block = np.ascontiguousarray(reduced)
        try:
            deliver(self.target, cnp.PyArray_DATA(block), cnp.PyArray_DIM(block, 0), &sent)
        finally:
            taken[0] += sent * n
        return 0

    cdef int forward_objects(self) except -1:
        cdef Py_ssize_t taken = 0
        cdef PyObject *item
        group = list(self.objects)
        reduced = self.reduce.reduce(group) if isinstance(self.reduce, np.ufunc) else self.reduce(group)
        item = <PyObject *>reduced
        try:
            deliver_objects(self.target, &item, 1, &taken)
        finally:
            if taken:
                self.objects.clear()
        return 0

    def flush(self):
        """Flush the target. A group that isn't full stays."""
        self.flush_groups(self.n)  # a full group that the target refused before
        self.target.flush()

    def close(self):
        """Reduce the group that isn't full, then close the target."""
        if sr_state_load(&self.state) != SR_CLOSED:
            self.flush_groups(1)
            ForwardingSink.close(self)

    @property
    def reduce(self):
        """The ufunc or callable."""
        return self.reduce

    def __repr__(self):
        return f"ReduceSink({self.n}, {self.reduce!r}, {self.sink!r})"
