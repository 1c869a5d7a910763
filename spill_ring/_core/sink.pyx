"""Sinks: where a full ring sends its oldest items.

A block travels from sink to sink by :func:`deliver` as a pointer and a count; Python objects are made only where
Python code asks for them. Each kind of sink has a module of its own in ``sinks/``, except the one that does nothing.
"""
cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject

from spill_ring._core.arguments cimport count_of
from spill_ring._core.block cimport copy_block_for_python, item_dtype, new_block
from spill_ring._core.conversion cimport as_block
from spill_ring._core.delivery cimport refuse_coroutine
from spill_ring._core.guard cimport SR_BUSY, SR_CLOSED, SR_OPEN, SR_WINDOW, Guarded, sr_state_load, sr_state_store
from spill_ring._core.tracing cimport Tracer

import numpy as np

cnp.import_array()


cdef class Sink(Guarded):
    """Sink()\n--\n
    Where items go: the base of every sink, and of every ring.

    A sink of your own defines ``send(items)`` and, if it likes, ``flush()`` and ``close()``:

    >>> class Peaks(Sink):
    ...     def __init__(self):
    ...         self.peaks = []
    ...     def send(self, items):
    ...         self.peaks.append(float(items.max()))
    >>> peaks = Peaks()
    >>> ring = ArrayRing(4, sink=peaks)
    >>> ring.extend([1.0, 7.0, 3.0, 5.0, 6.0, 2.0])
    >>> peaks.peaks
    [7.0]

    Behind a typed ring `items` is an ndarray of the ring's dtype, oldest first, that the sink may
    keep; behind an object ring it is the object. `send` returns None, which means that it took all of
    them, or how many it took, an int: the rest is then sent again at once. If it returns 0, the rest stays
    in the ring, and the push raises `BlockingIOError`. A `send` that raises has taken nothing, unless its
    exception says how many in an attribute ``n_taken``; the exception reaches whoever pushed. A sink
    made in Cython overrides `send_block` and `send_objects` instead, which ``spill_ring/_core/sink.pxd`` declares.

    Notes
    -----
    **Thread safety.** One thread at a time, unless the class says otherwise; see
    :class:`LockedSink`. A sink that keeps items between two calls raises `RuntimeError` when it is
    entered a second time.
    """

    def __cinit__(self, *args, **kwargs):
        self.state = SR_OPEN
        self.overrides_send = type(self).send is not Sink.send

    def __init__(self):
        """Takes nothing; a subclass takes what it likes."""

    # -- delivery --------------------------------------------------------------------------------

    cdef int bind(self, object dtype) except -1:
        cdef bint is_first
        cdef bint clashes = False
        with cython.critical_section(self):
            if dtype is not None and not self.is_bound:
                dtype = item_dtype(dtype)  # `reduce`, or an array sent by hand, may have one that no ring can hold
            if self.is_binding:
                self.raise_for_state(SR_BUSY)
            is_first = not self.is_bound
            if is_first:
                self.bind_first(dtype)
            else:
                found = self.item_type
                # To numpy, None == dtype("f8").
                clashes = (dtype is None) != (found is None) or dtype is not None and dtype != found
                if not clashes:
                    self.dtype_published = True
        if clashes:
            raise TypeError(f"{type(self).__name__} takes {describe(found)}, so it can't take {describe(dtype)}")
        if is_first:
            try:
                self.attached(dtype)
            except BaseException:
                # If a ring was attached meanwhile, it will send items of this dtype, so stay bound to it.
                with cython.critical_section(self):
                    self.is_bound = self.dtype_published
                raise
        return 0

    cdef int bind_first(self, object dtype) except -1:
        self.is_binding = True
        try:
            self.allocate_for(dtype)
        finally:
            self.is_binding = False
        self.item_type = dtype
        self.itemsize = 0 if dtype is None else (<cnp.dtype>dtype).itemsize
        self.is_bound = True
        self.dtype_published = False
        return 0

    cdef int allocate_for(self, object dtype) except -1:
        return 0

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        raise NotImplementedError(f"{type(self).__name__} defines no send(self, items)")

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        return self.send_block(items, count, taken)

    cdef int run_deferred(self, int state) except -1:
        sr_state_store(&self.state, state)
        return 0

    cdef int flush_pending(self) except -1:
        return 0

    cdef list targets(self):
        return [] if self.target is None else [self.target]

    cdef list undelivered(self, Py_ssize_t n_skipped):
        return []

    cdef int trace(self, Tracer tracer) except -1:
        return 0

    # -- the face for Python ---------------------------------------------------------------------

    def send(self, items, /):
        """Take a block of items, or one object.

        Parameters
        ----------
        items : array_like or object
            Behind a typed ring a block, shape ``(n,) + dtype.shape``; else one object. A sink that
            is attached to nothing yet becomes typed by an ndarray and an object sink by anything
            else.

        Returns
        -------
        None or int
            None: all were taken. An override may return how many it took instead, from 0 to n (of one object, 0 or
            1): the rest is sent again at once, and after 0 it stays where it is.

        Raises
        ------
        ValueError
            The sink is closed.
        Exception
            Whatever the sink raises. An attribute ``n_taken`` of it says how many items were taken all the same.
        """
        cdef Py_ssize_t taken = 0
        cdef cnp.ndarray block
        cdef PyObject *item = <PyObject *>items
        dtype = dtype_for(self, items)
        try:
            if dtype is None:
                guarded_objects(self, &item, 1, &taken)
            else:
                block = as_block(items, dtype)
                guarded(self, cnp.PyArray_DATA(block), cnp.PyArray_DIM(block, 0), &taken)
        except BaseException as error:
            note_taken(error, taken)  # an override may have called this by super()
            raise

    def attached(self, dtype, /):
        """Called once, when the sink is attached to its first ring. Raise here to refuse it.

        Parameters
        ----------
        dtype : dtype or None
            Of the items to come; None: objects.
        """

    def pending(self):
        """The items that this sink, or one behind it, was sent and has yet to deliver, because the next one failed or
        a group isn't full. They end at a ring, from which `pop` removes them, and at what changes items.

        Returns
        -------
        list or ndarray
            Oldest first: the first is the one that is sent next. A copy.
        """
        return joined(self, self.undelivered(0))

    def skip(self, n=1, /):
        """Give up the oldest of the `pending` items, such as one that its sink will never take.

        Parameters
        ----------
        n : int
            How many; fewer if fewer are pending.

        Returns
        -------
        list or ndarray
            Those items, oldest first.
        """
        cdef Py_ssize_t count = count_of(n)
        return joined(self, self.undelivered(count))[:count]

    def flush(self):
        """Pass on whatever the sink holds back. Nothing, here."""

    def close(self):
        """Flush, then take nothing more. Closing again does nothing; if the flush raises, the sink stays open."""
        if sr_state_load(&self.state) != SR_CLOSED:
            self.flush()
            self.mark_closed()


cdef object joined(Sink sink, list parts):
    """The items of blocks or lists as one of these."""
    dtype = bound_dtype(sink)
    if dtype is None:
        return [item for part in parts for item in part]
    if not parts:
        return new_block(dtype, 0)
    return np.concatenate(parts, dtype=(<cnp.dtype>dtype).base)  # else numpy would convert to the native byte order


cdef object bound_dtype(Sink sink):
    with cython.critical_section(sink):
        return sink.item_type if sink.is_bound else None


cdef object dtype_for(Sink sink, object items):
    sink.check_initialised()
    dtype = published_dtype(sink)
    if dtype is None and not sink.is_bound:
        if isinstance(items, np.ndarray) and items.ndim:
            sink.bind(np.dtype((items.dtype, items.shape[1:])))
        else:
            sink.bind(None)
        dtype = published_dtype(sink)
    return dtype


cdef object published_dtype(Sink sink):
    """`bound_dtype`, which doesn't change any more once the items that are kept are of this dtype."""
    with cython.critical_section(sink):
        sink.dtype_published = sink.dtype_published or sink.is_bound
        return sink.item_type if sink.is_bound else None


cdef str describe(object dtype):
    return "objects" if dtype is None else f"items of {dtype!r}"


# -- traits ------------------------------------------------------------------------------------------

cdef int declare_traits(Sink sink, type cls, int traits) except -1:
    if sink.overrides_send:
        return 0
    for base in type(sink).__mro__:
        if "__pyx_vtable__" in base.__dict__:  # the nearest compiled class: it may take items in its own way
            if base is cls:
                sink.traits = traits
            return 0
    return 0


cdef bint trace_sink(Sink sink, Tracer tracer) except -1:
    if not sink.traits & TRACED:
        return False
    sink.trace(tracer)
    return True


cdef bint needs_python(Sink sink) noexcept nogil:
    cdef int state = sr_state_load(&sink.state)
    if state != SR_OPEN and state != SR_WINDOW or not sink.traits & NATIVE:
        return True
    return sink.target is not None and needs_python(sink.target)


# -- sending -----------------------------------------------------------------------------------------

cdef int deliver(Sink sink, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
    if not sink.overrides_send:
        return guarded(sink, items, count, taken)
    if sr_state_load(&sink.state) == SR_CLOSED:
        sink.raise_for_state(SR_CLOSED)
    return call_send(sink, items, count, taken)


cdef int deliver_objects(Sink sink, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
    if sink.overrides_send:
        return call_send_objects(sink, items, count, taken)
    return guarded_objects(sink, items, count, taken)


cdef int deliver_any(Sink sink, object dtype, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1:
    if dtype is None:
        return deliver_objects(sink, <PyObject **>items, count, taken)
    return deliver(sink, items, count, taken)


cdef int guarded(Sink sink, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
    cdef int state
    if not sink.is_guarded:
        state = sr_state_load(&sink.state)
        if state != SR_OPEN:
            sink.raise_for_state(state)
        return sink.send_block(items, count, taken)
    sink.enter()
    try:
        sink.send_block(items, count, taken)
    finally:
        sink.leave()
    return 0


cdef int guarded_objects(Sink sink, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
    cdef int state
    if not sink.is_guarded:
        state = sr_state_load(&sink.state)
        if state != SR_OPEN:
            sink.raise_for_state(state)
        return sink.send_objects(items, count, taken)
    sink.enter()
    try:
        sink.send_objects(items, count, taken)
    finally:
        if sink.has_deferred:
            sink.run_deferred(SR_OPEN)
        else:
            sink.leave()
    return 0


cdef int call_send(Sink sink, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
    """Hand a copy to the `send` that Python defines: the memory of `items` will be written again."""
    return send_by_python(sink.send, copy_block_for_python(sink.item_type, items, count), count, taken)


cdef int call_send_objects(Sink sink, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
    cdef Py_ssize_t i
    send = sink.send
    for i in range(count):
        if sr_state_load(&sink.state) == SR_CLOSED:
            sink.raise_for_state(SR_CLOSED)
        send_object_by_python(send, <object>items[i], taken)
    return 0


cdef int send_by_python(object send, object block, Py_ssize_t count, Py_ssize_t *taken) except -1:
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t n_taken
    try:
        while True:
            n_taken = taken_by(send, send(block[done:] if done else block), count - done)
            done += n_taken
            if done == count:
                break
            if n_taken == 0:
                raise BlockingIOError(f"{send!r} took {done} of {count} items; the rest is kept")
    except BaseException as error:
        taken[0] += done + noted_taken(error, count - done)
        raise
    taken[0] += count
    return 0


cdef int send_object_by_python(object send, object item, Py_ssize_t *taken) except -1:
    try:
        if taken_by(send, send(item), 1) == 0:
            raise BlockingIOError(f"{send!r} did not take {item!r}; it is kept")
    except BaseException as error:
        taken[0] += noted_taken(error, 1)
        raise
    taken[0] += 1
    return 0


cdef Py_ssize_t taken_by(object send, object result, Py_ssize_t count) except -1:
    """How many of `count` items a `send` took that returned `result`."""
    if result is None:
        return count
    if isinstance(result, int) and not isinstance(result, bool) and 0 <= result <= count:
        return result
    refuse_coroutine(send, result)
    raise TypeError(
        f"{send!r} returned {result!r}; it should return None, which means that it took all, or how many of the "
        f"{count} items it took"
    )


cdef int note_taken(object error, Py_ssize_t taken) except -1:
    """Say by an exception that is under way how many items were taken."""
    if taken:
        try:
            error.n_taken = taken
        except AttributeError:  # an exception with __slots__ has no place for it
            pass
    return 0


cdef Py_ssize_t noted_taken(object error, Py_ssize_t count) except -1:
    """How many items an exception says were taken. That is counted once: a sink further in front has its own."""
    n_taken = getattr(error, "n_taken", None)
    if n_taken is None:
        return 0
    try:
        del error.n_taken
    except AttributeError:  # it is the class's
        pass
    return max(0, min(count, n_taken)) if isinstance(n_taken, int) else 0


cdef class DropSink(Sink):
    """DropSink()\n--\n
    Discards what it is sent: what a ring without a sink does. Any number of threads."""

    cdef int bind(self, object dtype) except -1:
        return Sink.bind(self, dtype) if self.overrides_send else 0

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        taken[0] += count
        return 0

    def __repr__(self):
        return "DropSink()"
