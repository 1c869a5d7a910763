"""Sinks: where a full ring sends its oldest items.

The protocol: what a :class:`Sink` does, and what chains them. A block travels from sink to sink by
:func:`deliver` as a pointer and a count; Python objects are made only where Python code asks for
them. Each sink has a module of its own, but for the one that does nothing.
"""
cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject

from spill_ring._core.block cimport as_block, copy_block_for_python, item_dtype
from spill_ring._core.guard cimport (
    SR_WINDOW, SR_BUSY, SR_CLOSED, SR_MAKING, SR_NEW, SR_OPEN, SR_RESERVED, sr_add_fetch, sr_state_store, sr_state_load, sr_state_cas
)

import os
import warnings

import numpy as np

cnp.import_array()


cdef extern from "Python.h":
    void *Py_TYPE(object o) nogil


cdef extern from *:
    """
    /* The `send` of Python's that this thread is in, the innermost, and what it said it took. Of the
     * thread and not of the sink: several may be in one sink, and none may count for another. */
    #ifdef _MSC_VER
    #define SR_OF_THE_THREAD __declspec(thread)
    #else
    #define SR_OF_THE_THREAD __thread
    #endif
    typedef struct { void *sink; Py_ssize_t taken; } sr_sending;
    static SR_OF_THE_THREAD sr_sending sr_innermost;
    static SR_OF_THE_THREAD int sr_depth; /* what `enter_chain` has counted */
    """
    ctypedef struct sr_sending:
        void *sink
        Py_ssize_t taken
    sr_sending sr_innermost
    int sr_depth


cdef class Sink:
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
    keep; behind an object ring it is the object. A `send` that raises has taken nothing, unless it
    said otherwise with :meth:`took`, and its exception reaches whoever pushed, unchanged. A sink
    made in Cython overrides the block methods that ``spill_ring/sink.pxd`` declares instead.

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

    cdef int bind(self, object dtype) except -1:
        cdef bint is_first
        cdef bint clashes = False
        with cython.critical_section(self):
            if dtype is not None and not self.is_bound:
                dtype = item_dtype(dtype)  # what `reduce` made, or an array sent by hand, may be no items
            is_first = not self.is_bound
            if is_first:
                self.allocate_for(dtype)
                self.item_type = dtype
                self.itemsize = 0 if dtype is None else (<cnp.dtype>dtype).itemsize
                self.is_bound = True
                self.dtype_published = False
            else:
                found = self.item_type
                # None == dtype("f8") to numpy
                clashes = (dtype is None) != (found is None) or dtype is not None and dtype != found
                if not clashes:
                    self.dtype_published = True
        if clashes:
            raise TypeError(f"{type(self).__name__} takes {describe(found)}, so it can't take {describe(dtype)}")
        if is_first:
            try:
                self.attached(dtype)
            except BaseException:
                # One that came meanwhile is going to send such items: too late for others.
                with cython.critical_section(self):
                    self.is_bound = self.dtype_published
                raise
        return 0

    cdef int allocate_for(self, object dtype) except -1:
        return 0

    cdef object bound_dtype(self):
        with cython.critical_section(self):
            return self.item_type if self.is_bound else None

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        raise NotImplementedError(f"{type(self).__name__} defines no send(self, items)")

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        return self.send_block(items, count, taken)

    cdef Py_ssize_t lend_slots(self) noexcept nogil:
        return 0

    cdef type lending_class(self):
        return None

    cdef void count_window(self, Py_ssize_t count) noexcept nogil:
        pass

    cdef int try_enter(self) noexcept nogil:
        cdef int found = sr_state_cas(&self.state, SR_OPEN, SR_BUSY)
        if found == SR_WINDOW:
            found = sr_state_cas(&self.state, SR_WINDOW, SR_BUSY)
            if found == SR_WINDOW:
                self.close_window()
                return SR_OPEN
        return found

    cdef bint open_window(self) noexcept nogil:
        cdef Py_ssize_t room
        if not self.is_guarded:  # nobody would enter, and catch up
            return False
        if self.try_enter() != SR_OPEN:
            return False
        room = self.lend_slots()
        self.window_start = self.cursor
        self.window_end = self.cursor + room * self.itemsize
        sr_state_store(&self.state, SR_WINDOW if room else SR_OPEN)
        return room > 0

    cdef void close_window(self) noexcept nogil:
        self.count_window(self.uncounted())
        self.window_start = self.cursor
        self.window_end = NULL

    cdef void *native_class(self) noexcept nogil:
        return NULL

    cdef int enter_slow(self, int state) except -1 nogil:
        if state == SR_WINDOW:
            state = self.try_enter()
        return 0 if state == SR_OPEN else self.raise_for_state(state)

    cdef int raise_for_state(self, int state) except -1 with gil:
        name = type(self).__name__
        if state == SR_CLOSED:
            raise ValueError(f"{name} is closed")
        if state <= SR_MAKING:
            raise RuntimeError(f"{name} was never initialised: call super().__init__ first")
        if state == SR_RESERVED:
            raise RuntimeError(f"{name} has an open reserve(): leave its 'with' block first")
        raise RuntimeError(
            f"{name} is in use: by another thread, or by the sink that it is sending to"
        )

    def send(self, items, /):
        """Take a block of items, or one object.

        Parameters
        ----------
        items : array_like or object
            Behind a typed ring a block, shape ``(n,) + dtype.shape``; else one object. A sink that
            is attached to nothing yet becomes typed by an ndarray and an object sink by anything
            else.

        Raises
        ------
        ValueError
            The sink is closed.
        """
        cdef Py_ssize_t taken = 0
        cdef cnp.ndarray block
        cdef PyObject *item = <PyObject *>items
        if sr_state_load(&self.state) <= SR_MAKING:
            self.raise_for_state(SR_NEW)
        dtype = self.bound_dtype()
        if dtype is None:  # or bound to objects, which `bind` then confirms
            if not self.is_bound and isinstance(items, np.ndarray) and items.ndim:
                self.bind(np.dtype((items.dtype, items.shape[1:])))
            elif not self.is_bound:
                self.bind(None)
            dtype = self.bound_dtype()
        with cython.critical_section(self):
            self.dtype_published = True  # what is kept of this is no other dtype's
        try:
            if dtype is None:
                guarded_objects(self, &item, 1, &taken)
            else:
                block = as_block(items, dtype)
                guarded(self, cnp.PyArray_DATA(block), cnp.PyArray_DIM(block, 0), &taken)
        finally:
            if sr_innermost.sink == <void *>self:  # an override calls this by super()
                sr_innermost.taken += taken

    def attached(self, dtype, /):
        """Called once, when the sink is attached to its first ring. Raise here to refuse it.

        Parameters
        ----------
        dtype : dtype or None
            Of the items to come; None: objects.
        """

    def took(self, Py_ssize_t count, /):
        """Say, in a `send` that is about to raise, that it took the first `count` items of its block.

        Parameters
        ----------
        count : int
            Items, not bytes. They leave the ring; the others stay there. An override that calls
            ``super().send`` for a part of its block need not count that part.
        """
        if sr_innermost.sink == <void *>self:
            sr_innermost.taken = count

    def flush(self):
        """Pass on whatever the sink holds back. Nothing, here."""

    def close(self):
        """Flush, then take nothing more. Closing again does nothing; if the flush raises, the sink stays open."""
        if sr_state_load(&self.state) != SR_CLOSED:
            self.flush()
            self.mark_closed()

    cdef int begin_init(self, Sink target) except -1:
        if sr_state_cas(&self.state, SR_NEW, SR_MAKING) != SR_NEW:
            raise RuntimeError(f"{type(self).__name__} is initialised already")
        if target is not None:
            try:
                add_user(self, target)
            except BaseException:
                sr_state_store(&self.state, SR_NEW)
                raise
        return 0

    cdef int mark_closed(self) except -1:
        cdef int found = sr_state_cas(&self.state, SR_OPEN, SR_CLOSED)
        if found != SR_OPEN and found != SR_CLOSED:
            self.enter_slow(found)
            sr_state_store(&self.state, SR_CLOSED)
        return 0

    cdef int run_deferred(self, int state) except -1:
        sr_state_store(&self.state, state)
        return 0

    cdef bint has_pending(self) noexcept:
        return False

    cdef int flush_pending(self) except -1:
        self.flush()
        return 0

    cdef list sinks_behind(self):
        return []

    cdef type described_class(self):
        return None

    cdef list pending_items(self):
        return None

    cdef str pause(self):
        self.enter()

    cdef int resume(self) except -1:
        self.leave()
        return 0

    cdef int find_keepers(self, long long on_the_way, list found) except -1:
        cdef Sink target
        cdef KeptRange here
        if not takes_as(self, self.described_class()):
            return 0
        held = self.pending_items()
        if held is None:
            self.kept_range(&here)
            found.append((self, here.end + on_the_way))
            return 0
        for target, waiting in zip(self.sinks_behind(), held, strict=True):
            target.find_keepers(on_the_way + len(waiting), found)
        return 0

    cdef int kept_range(self, KeptRange *found) except -1:
        raise NotImplementedError(f"{type(self).__name__} doesn't count what it keeps")

    cdef object read_kept(self, long long start, Py_ssize_t count, object number):
        raise NotImplementedError(f"{type(self).__name__} gives no copy of what it keeps")

    @property
    def closed(self):
        """True once :meth:`close` has been through."""
        return sr_state_load(&self.state) == SR_CLOSED

    def __enter__(self):
        self.enter()
        self.leave()
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __reduce__(self):
        raise TypeError(f"cannot pickle a live {type(self).__name__}; pickle the items it holds instead")


cdef int DEEPEST = 256


cdef bint takes_as(Sink sink, type cls) except -1:
    if sink.overrides_send:
        return False
    for base in type(sink).__mro__:
        if "__pyx_vtable__" in base.__dict__:  # the nearest that is compiled: it may take items in its own way
            return base is cls
    return False


cdef object items_error(object error, object first, object count, str why, str one="", str many=""):
    what = f"item {first} {one}" if count == 1 else f"items {first} to {first + count} {many}"
    return error(f"{what.strip()} {why}")


cdef str describe(object dtype):
    return "objects" if dtype is None else f"items of {dtype!r}"


cdef bint needs_python(Sink sink) noexcept nogil:
    cdef int state = sr_state_load(&sink.state)
    return state != SR_OPEN and state != SR_WINDOW or Py_TYPE(sink) != sink.native_class()


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
    """Hand a copy to the `send` that Python defines: the memory behind `items` will be written again."""
    global sr_innermost
    cdef cnp.ndarray block = copy_block_for_python(sink.item_type, items, count)
    cdef sr_sending outer = sr_innermost  # of a send that is under way, to any sink
    sr_innermost.sink = <void *>sink
    sr_innermost.taken = 0
    try:
        sink.send(block)
        taken[0] += count
    except BaseException:
        taken[0] += max(0, min(count, sr_innermost.taken))
        raise
    finally:
        sr_innermost = outer
    return 0


cdef int call_send_objects(Sink sink, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
    global sr_innermost
    cdef Py_ssize_t i
    cdef sr_sending outer = sr_innermost
    try:
        for i in range(count):
            if sr_state_load(&sink.state) == SR_CLOSED:
                sink.raise_for_state(SR_CLOSED)
            sr_innermost.sink = <void *>sink
            sr_innermost.taken = 0
            try:
                sink.send(<object>items[i])
                taken[0] += 1
            except BaseException:
                taken[0] += sr_innermost.taken > 0
                raise
    finally:
        sr_innermost = outer
    return 0


cdef int warn_lost(object holder, Py_ssize_t count, object error, str name=None) except -1:
    """What a `__del__` can't deliver is lost, but not silently."""
    if warnings is None:  # so late in the interpreter's end that there is nobody to tell
        return 0
    warnings.warn(
        f"{name or type(holder).__name__} was dropped without close(), and its sink did not take the last "
        f"{count} items: {error!r}",
        ResourceWarning, source=holder,
    )
    return 0


cdef int add_user(Sink user, Sink sink) except -1:
    """Make `user` a user of `sink`: the one way in which chains come about, and so they can't loop."""
    cdef int state
    sr_add_fetch(&sink.n_users, 1)  # first, so that nobody closes it as the last meanwhile
    try:
        state = sr_state_load(&sink.state)
        if state <= SR_MAKING or state == SR_CLOSED:
            sink.raise_for_state(state)
        check_depth(sink.depth)
    except BaseException:
        sr_add_fetch(&sink.n_users, -1)
        raise
    user.depth = max(user.depth, sink.depth + 1)
    return 0


cdef int enter_chain(Sink sink) except -1:
    global sr_depth
    cdef int steps = sink.depth + 1
    check_depth(sr_depth + sink.depth)
    sr_depth += steps
    return steps


cdef void leave_chain(int steps) noexcept:
    global sr_depth
    sr_depth -= steps


cdef int check_depth(int depth) except -1:
    if depth >= DEEPEST:
        raise RecursionError(f"a chain of more than {DEEPEST} sinks")  # each takes C stack
    return 0


cdef int drop_user(Sink sink) except -1:
    if sr_add_fetch(&sink.n_users, -1) <= 0 and sr_state_load(&sink.state) != SR_CLOSED:
        try:
            sink.close()
        except BaseException:
            sr_add_fetch(&sink.n_users, 1)  # who hung up may try again
            raise
    return 0


cdef Py_ssize_t forks = 0  # between this process and the first


cdef Py_ssize_t forks_so_far() noexcept nogil:
    return forks


def _after_fork_in_child():
    global forks
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


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
