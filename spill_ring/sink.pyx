"""Sinks: where a full ring sends its oldest items.

The protocol (:class:`Sink`) and the sinks that need no I/O. A block travels from sink to sink by
:func:`deliver` as a pointer and a count; Python objects are made only where Python code asks for
them.
"""
cimport cython
cimport numpy as cnp
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.string cimport memcpy, memmove

from spill_ring.block cimport as_block, copy_block, copy_block_for_python, item_dtype, new_block, view_block
from spill_ring.guard cimport (
    SR_AHEAD, SR_BUSY, SR_CLOSED, SR_MAKING, SR_NEW, SR_OPEN, SR_RESERVED, sr_add, sr_leave, sr_state, sr_move
)
from spill_ring.native cimport native_function

import operator
import os
import threading
import warnings

import numpy as np

cnp.import_array()


cdef extern from "Python.h":
    PyObject **PySequence_Fast_ITEMS(object o)
    unsigned long PyThread_get_thread_ident() nogil
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
    """
    ctypedef struct sr_sending:
        void *sink
        Py_ssize_t taken
    sr_sending sr_innermost


cdef extern from * nogil:
    """
    /* Let go of the GIL if this thread has it, and so is to get it back. Up to CPython 3.11 the first look finds
     * whichever thread has it. (PyGILState_Check says yes to everybody once there was a subinterpreter.) */
    static inline PyThreadState *sr_let_go_of_gil(void)
    {
        PyThreadState *running = __Pyx_PyThreadState_Current;
        return running != NULL && running == PyGILState_GetThisThreadState() ? PyEval_SaveThread() : NULL;
    }

    /* An exception lies in the state of its thread, which a thread that Python doesn't know has only as long as it has
     * the GIL. Give it one to stay; who called in from such a thread takes it away (interface.pyx). */
    static inline void sr_keep_thread(void)
    {
        if (PyGILState_GetThisThreadState() == NULL) {
            PyGILState_Ensure();
            PyEval_SaveThread();
        }
    }
    """
    ctypedef struct PyThreadState:
        pass
    PyThreadState *sr_let_go_of_gil()
    void sr_keep_thread()
    void PyEval_RestoreThread(PyThreadState *thread)


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
                self.fit(dtype)
                self.item_type = dtype
                self.itemsize = 0 if dtype is None else (<cnp.dtype>dtype).itemsize
                self.is_bound = True
                self.is_relied_on = False
            else:
                found = self.item_type
                # None == dtype("f8") to numpy
                clashes = (dtype is None) != (found is None) or dtype is not None and dtype != found
                if not clashes:
                    self.is_relied_on = True
        if clashes:
            raise TypeError(f"{type(self).__name__} takes {describe(found)}, so it can't take {describe(dtype)}")
        if is_first:
            try:
                self.attached(dtype)
            except BaseException:
                # One that came meanwhile is going to send such items: too late for others.
                with cython.critical_section(self):
                    self.is_bound = self.is_relied_on
                raise
        return 0

    cdef int fit(self, object dtype) except -1:
        return 0

    cdef object bound_to(self):
        with cython.critical_section(self):
            return self.item_type if self.is_bound else None

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        raise NotImplementedError(f"{type(self).__name__} defines no send(self, items)")

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        return self.send_block(items, count, taken)

    cdef Py_ssize_t lend_room(self) noexcept nogil:
        return 0

    cdef type lending_class(self):
        return None

    cdef void take_in(self, Py_ssize_t count) noexcept nogil:
        pass

    cdef int try_enter(self) noexcept nogil:
        cdef int found = sr_move(&self.state, SR_OPEN, SR_BUSY)
        if found == SR_AHEAD:
            found = sr_move(&self.state, SR_AHEAD, SR_BUSY)
            if found == SR_AHEAD:
                self.catch_up()
                return SR_OPEN
        return found

    cdef bint go_ahead(self) noexcept nogil:
        cdef Py_ssize_t room
        if not self.is_guarded:  # nobody would enter, and catch up
            return False
        if self.try_enter() != SR_OPEN:
            return False
        room = self.lend_room()
        self.opened = self.next
        self.stop = self.next + room * self.itemsize
        sr_leave(&self.state, SR_AHEAD if room else SR_OPEN)
        return room > 0

    cdef void catch_up(self) noexcept nogil:
        self.take_in(self.ahead())
        self.opened = self.next
        self.stop = NULL

    cdef void *native_class(self) noexcept nogil:
        return NULL

    cdef int admit(self, int state) except -1 nogil:
        if state == SR_AHEAD:
            state = self.try_enter()
        return 0 if state == SR_OPEN else self.refuse(state)

    cdef int refuse(self, int state) except -1 with gil:
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
        if sr_state(&self.state) <= SR_MAKING:
            self.refuse(SR_NEW)
        dtype = self.bound_to()
        if dtype is None:  # or bound to objects, which `bind` then confirms
            if not self.is_bound and isinstance(items, np.ndarray) and items.ndim:
                self.bind(np.dtype((items.dtype, items.shape[1:])))
            elif not self.is_bound:
                self.bind(None)
            dtype = self.bound_to()
        with cython.critical_section(self):
            self.is_relied_on = True  # what is kept of this is no other dtype's
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
        if sr_state(&self.state) != SR_CLOSED:
            self.flush()
            self.shut()

    cdef int claim(self, Sink target) except -1:
        if sr_move(&self.state, SR_NEW, SR_MAKING) != SR_NEW:
            raise RuntimeError(f"{type(self).__name__} is initialised already")
        if target is not None:
            try:
                engage(self, target)
            except BaseException:
                sr_leave(&self.state, SR_NEW)
                raise
        return 0

    cdef int shut(self) except -1:
        cdef int found = sr_move(&self.state, SR_OPEN, SR_CLOSED)
        if found != SR_OPEN and found != SR_CLOSED:
            self.admit(found)
            sr_leave(&self.state, SR_CLOSED)
        return 0

    cdef int tidy(self, int state) except -1:
        sr_leave(&self.state, state)
        return 0

    cdef bint is_owing(self) noexcept:
        return False

    cdef int flush_rest(self) except -1:
        self.flush()
        return 0

    cdef list sinks_behind(self):
        return []

    cdef type described_class(self):
        return None

    cdef list held_back(self):
        return None

    cdef str hold_still(self):
        self.enter()

    cdef int let_go(self) except -1:
        self.leave()
        return 0

    cdef int meet(self, long long on_the_way, list found) except -1:
        cdef Sink target
        cdef holding here
        if not takes_as(self, self.described_class()):
            return 0
        held = self.held_back()
        if held is None:
            self.count_kept(&here)
            found.append((self, here.end + on_the_way))
            return 0
        for target, waiting in zip(self.sinks_behind(), held, strict=True):
            target.meet(on_the_way + len(waiting), found)
        return 0

    cdef int count_kept(self, holding *found) except -1:
        raise NotImplementedError(f"{type(self).__name__} doesn't count what it keeps")

    cdef object copy_kept(self, long long start, Py_ssize_t count, object number):
        raise NotImplementedError(f"{type(self).__name__} gives no copy of what it keeps")

    @property
    def closed(self):
        """True once :meth:`close` has been through."""
        return sr_state(&self.state) == SR_CLOSED

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


cdef object refusal(object error, object first, object count, str why, str one="", str many=""):
    what = f"item {first} {one}" if count == 1 else f"items {first} to {first + count} {many}"
    return error(f"{what.strip()} {why}")


cdef str describe(object dtype):
    return "objects" if dtype is None else f"items of {dtype!r}"


cdef bint needs_python(Sink sink) noexcept nogil:
    cdef int state = sr_state(&sink.state)
    return state != SR_OPEN and state != SR_AHEAD or Py_TYPE(sink) != sink.native_class()


cdef int deliver(Sink sink, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
    if not sink.overrides_send:
        return guarded(sink, items, count, taken)
    if sr_state(&sink.state) == SR_CLOSED:
        sink.refuse(SR_CLOSED)
    return call_send(sink, items, count, taken)


cdef int deliver_objects(Sink sink, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
    if sink.overrides_send:
        return call_send_objects(sink, items, count, taken)
    return guarded_objects(sink, items, count, taken)


cdef int guarded(Sink sink, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
    cdef int state
    if not sink.is_guarded:
        state = sr_state(&sink.state)
        if state != SR_OPEN:
            sink.refuse(state)
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
        state = sr_state(&sink.state)
        if state != SR_OPEN:
            sink.refuse(state)
        return sink.send_objects(items, count, taken)
    sink.enter()
    try:
        sink.send_objects(items, count, taken)
    finally:
        if sink.is_untidy:
            sink.tidy(SR_OPEN)
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
            if sr_state(&sink.state) == SR_CLOSED:
                sink.refuse(SR_CLOSED)
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


cdef Sink as_sink(object given):
    cdef Sink sink
    cdef void *user_data
    if isinstance(given, type) and (issubclass(given, Sink) or hasattr(given, "send")):
        raise TypeError(f"sink is the class {given.__name__}; pass an instance of it")
    if isinstance(given, Sink):
        sink = given
        if sr_state(&sink.state) == SR_CLOSED:
            sink.refuse(SR_CLOSED)
    elif hasattr(given, "makefile"):
        # its send() may take a part of the bytes, and says so where nobody listens
        raise TypeError(f"{given!r} is no sink; a socket goes into a FileSink, as socket.makefile('wb')")
    elif callable(getattr(given, "send", None)):
        sink = FnSink(given.send, getattr(given, "flush", None))
        (<FnSink>sink).on_close = getattr(given, "close", None)
    elif callable(given) or native_function(given, &user_data) != NULL:
        sink = FnSink(given)
    else:
        raise TypeError(
            f"{given!r} is no sink: expected a Sink, a ring, a callable, a compiled function or an object with send(); "
            "a file goes into a FileSink, a queue into a ChannelSink"
        )
    return sink


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


cdef int engage(Sink user, Sink sink) except -1:
    """Make `user` a user of `sink`: the one way in which chains come about, and so they can't loop."""
    cdef int state
    sr_add(&sink.users, 1)  # first, so that nobody closes it as the last meanwhile
    try:
        state = sr_state(&sink.state)
        if state <= SR_MAKING or state == SR_CLOSED:
            sink.refuse(state)
        if sink.depth >= DEEPEST:
            raise RecursionError(f"a chain of more than {DEEPEST} sinks")  # each takes C stack
    except BaseException:
        sr_add(&sink.users, -1)
        raise
    user.depth = max(user.depth, sink.depth + 1)
    return 0


cdef int hang_up(Sink sink) except -1:
    if sr_add(&sink.users, -1) <= 0 and sr_state(&sink.state) != SR_CLOSED:
        try:
            sink.close()
        except BaseException:
            sr_add(&sink.users, 1)  # who hung up may try again
            raise
    return 0


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


cdef void free_capsule(object capsule) noexcept:
    PyMem_RawFree(PyCapsule_GetPointer(capsule, NULL))


cdef class CollectSink(Sink):
    """CollectSink()\n--\n
    Gathers what it is sent, in memory that grows.

    >>> sink = CollectSink()
    >>> ring = SpillRing(4, sink=sink)
    >>> ring.extend(range(1, 11))
    >>> ring
    ObjectRing([7, 8, 9, 10], capacity=4)
    >>> sink.items
    [1, 2, 3, 4, 5, 6]

    Notes
    -----
    O(1) amortised for each item; no Python for typed items. **Thread safety.** One thread at a
    time; a second is refused with `RuntimeError`.
    """

    def __cinit__(self, *args, **kwargs):
        self.is_guarded = True
        self.objects = []

    def __dealloc__(self):
        PyMem_RawFree(self.data)

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        if not self.has_room(count):
            sr_keep_thread()
            return self.refuse_growth()
        memcpy(self.data + self.count * self.itemsize, items, count * self.itemsize)
        self.take_in(count)
        taken[0] += count
        return 0

    cdef Py_ssize_t lend_room(self) noexcept nogil:
        if not self.has_room(1):
            return 0
        self.next = self.data + self.count * self.itemsize
        return self.room - self.count

    cdef void take_in(self, Py_ssize_t count) noexcept nogil:
        self.count += count
        self.received += count

    cdef bint has_room(self, Py_ssize_t count) noexcept nogil:
        cdef Py_ssize_t room = max(self.room, 64)
        cdef void *data
        if self.count + count > self.room or self.data == NULL:
            while self.count + count > room:
                room *= 2
            data = PyMem_RawRealloc(self.data, room * self.itemsize)
            if data == NULL:
                return False
            self.data = <char *>data
            self.room = room
        return True

    cdef void *native_class(self) noexcept nogil:
        return <void *>CollectSink

    cdef int refuse_growth(self) except -1 with gil:
        raise MemoryError(f"no memory to collect more than {self.count} items")

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        cdef Py_ssize_t i
        for i in range(count):
            self.objects.append(<object>items[i])
            self.received += 1
            taken[0] += 1
        return 0

    @property
    def items(self):
        """All that was gathered, oldest first: the list itself, or one ndarray, a copy (O(n))."""
        cdef int before
        dtype = self.bound_to()
        if dtype is None:
            with cython.critical_section(self):
                return self.objects
        before = self.look()
        try:
            return copy_block(dtype, self.data, self.count)
        finally:
            sr_leave(&self.state, before)

    cdef int look(self) except -1:
        """Enter; what was collected may be had from a closed sink too. Returns the state to leave to."""
        if sr_move(&self.state, SR_CLOSED, SR_BUSY) == SR_CLOSED:
            return SR_CLOSED
        self.enter()
        return SR_OPEN

    def take(self):
        """Remove all that was gathered and return it, without a copy.

        Returns
        -------
        list or ndarray
            Oldest first.
        """
        cdef void *data
        cdef Py_ssize_t count
        dtype = self.bound_to()
        cdef int before = self.look()
        try:
            if dtype is None:
                fresh = []
                with cython.critical_section(self):  # `items` and `len` ask without entering
                    taken, self.objects = self.objects, fresh
                    self.given_away = self.received
                return taken
            if self.count == 0:
                return new_block(dtype, 0)
            data = PyMem_RawRealloc(self.data, self.count * self.itemsize)  # shrinks
            if data != NULL:
                self.data = <char *>data
                self.room = self.count
            owner = PyCapsule_New(self.data, NULL, free_capsule)
            data, count = self.data, self.count
            self.data = NULL  # it is the capsule's from here on
            self.count = self.room = 0
            self.given_away = self.received
            return view_block(dtype, data, count, owner, True)
        finally:
            sr_leave(&self.state, before)

    cdef type lending_class(self):
        return CollectSink

    cdef type described_class(self):
        return CollectSink

    cdef int count_kept(self, holding *found) except -1:
        found.end, found.first = self.received + self.ahead(), self.given_away
        # The list is the caller's too.
        found.was_changed = self.item_type is None and len(self) != self.received - self.given_away
        return 0

    cdef object copy_kept(self, long long start, Py_ssize_t count, object number):
        cdef long long at
        cdef int before = self.look()
        try:
            at = start - self.given_away
            if at < 0:
                raise refusal(IndexError, number, min(count, -at), "taken from a CollectSink", "was", "were")
            if self.item_type is None:
                return self.objects[at:at + count]
            return copy_block(self.item_type, self.data + <Py_ssize_t>at * self.itemsize, count)
        finally:
            sr_leave(&self.state, before)

    def __len__(self):
        with cython.critical_section(self):
            return self.count + self.ahead() + len(self.objects)  # items of one kind: the rest is 0

    def __repr__(self):
        return f"<CollectSink: {len(self)} items>"


cdef class FnSink(Sink):
    """FnSink(fn, flush=None)\n--\n
    Calls a function with what it is sent.

    Parameters
    ----------
    fn : callable or compiled function
        ``fn(block)`` behind a typed ring, with an ndarray it may keep; ``fn(item)`` behind an object
        ring. What it returns is ignored; what it raises reaches whoever pushed.

        A `scipy.LowLevelCallable`, a ctypes function pointer, a numba ``@cfunc``, or a capsule with the signature
        as its name and the user data as its context, is called in C, without the GIL:
        ``int (const void *items, ptrdiff_t count, void *user_data)``. The items, oldest first, are its only until it
        returns; without user data it gets NULL. What it returns other than 0 is an error: it has taken
        nothing, the items stay in the ring, and whoever pushed gets a `RuntimeError` that names the number.
    flush : callable, optional
        Called with nothing when the ring, or this sink, is flushed.

    Raises
    ------
    TypeError
        `fn` is not callable, or a compiled function of another signature; or such a one is attached to an object ring.
    ValueError
        It is a NULL pointer.

    Notes
    -----
    A compiled function costs some nanoseconds a call, a Python one its block too. `fn` is kept alive, and what it
    points to is yours to keep. (A Python function in a ``ctypes.CFUNCTYPE`` must not raise: ctypes swallows that and
    returns anything. Give the function itself.) **Thread safety.** That of `fn`.

    >>> ring = ArrayRing(2, "i8", sink=FnSink(print))  # or just sink=print
    >>> ring.extend([1, 2, 3, 4, 5])
    [1 2 3]
    """

    def __cinit__(self, *args, **kwargs):
        self.state = SR_NEW

    def __init__(self, fn, flush=None):
        cdef void *user_data
        if fn is None:
            raise TypeError("FnSink needs a function")
        cdef native_sink native = native_function(fn, &user_data)
        for given in (None if native != NULL else fn, flush):
            if given is not None and not callable(given):
                raise TypeError(f"FnSink calls functions, and {given!r} is not callable")
        self.claim(None)
        self.fn = fn
        self.on_flush = flush
        self.native = native
        self.user_data = user_data
        self.leave()

    cdef int fit(self, object dtype) except -1:
        if dtype is None and self.native != NULL:
            raise TypeError(f"{self.fn!r} is a compiled function, which takes items of a dtype and no objects")
        return 0

    cdef void *native_class(self) noexcept nogil:
        return NULL if self.native == NULL else <void *>FnSink

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        cdef PyThreadState *thread
        cdef int error
        if self.native == NULL:
            return self.call_fn(items, count, taken)
        thread = sr_let_go_of_gil()
        error = self.native(items, count, self.user_data)
        if thread != NULL:
            PyEval_RestoreThread(thread)
        if error:
            sr_keep_thread()
            return self.refuse_error(error, count)
        taken[0] += count
        return 0

    cdef int call_fn(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        self.fn(copy_block_for_python(self.item_type, items, count))
        taken[0] += count
        return 0

    cdef int refuse_error(self, int error, Py_ssize_t count) except -1 with gil:
        raise RuntimeError(f"{self.fn!r} returned {error}, and has taken none of {count} items")

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        cdef Py_ssize_t i
        for i in range(count):
            self.fn(<object>items[i])
            taken[0] += 1
        return 0

    def flush(self):
        """Call the function given as `flush`, if there is one."""
        if self.on_flush is not None:
            self.on_flush()

    def close(self):
        """Flush, then take nothing more; an object given as a sink is closed if it has a ``close``."""
        if sr_state(&self.state) != SR_CLOSED:
            self.flush()
            if self.on_close is not None:
                self.on_close()
            self.shut()

    @property
    def fn(self):
        """The function that is called."""
        return self.fn

    def __repr__(self):
        return f"FnSink({self.fn!r})"


cdef class ChannelSink(FnSink):
    """ChannelSink(queue)\n--\n
    Puts what it is sent on a queue, for a consumer in another thread.

    Parameters
    ----------
    queue : queue.Queue, queue.SimpleQueue or the like
        Gets ndarray blocks from a typed ring, single objects from an object ring, by ``put``. A
        bounded queue that is full holds up the producer, as its ``put`` does.

    Notes
    -----
    **Thread safety.** That of the queue: several rings may share one.

    >>> import queue
    >>> late = queue.SimpleQueue()
    >>> ring = ArrayRing(3, "i8", sink=ChannelSink(late))
    >>> ring.extend(range(10))
    >>> late.get()
    array([0, 1, 2, 3, 4, 5, 6])
    """

    def __init__(self, queue):
        put = getattr(queue, "put", None)
        if not callable(put):
            raise TypeError(f"{queue!r} has no put(); expected a queue.Queue, a queue.SimpleQueue or the like")
        FnSink.__init__(self, put)
        self.queue = queue

    @property
    def queue(self):
        """The queue that is put on."""
        return self.queue

    def __repr__(self):
        return f"ChannelSink({self.queue!r})"


cdef class ForwardingSink(Sink):
    """What the sinks in front of one other sink share. Not made by hand."""

    def __cinit__(self, *args, **kwargs):
        self.state = SR_NEW

    def __init__(self):
        raise TypeError(f"{type(self).__name__} is what sinks share; make a BatchSink, a ReduceSink or a LockedSink")

    cdef int attach(self, object given) except -1:
        cdef Sink target = as_sink(given)
        self.claim(target)  # asked last: making a sink of what was given may run Python
        self.sink = given
        self.target = target
        return 0

    cdef int adopt(self) except -1:
        """Open. A ring behind says what is to come, also to a ReduceSink in front, which asks."""
        self.leave()
        return self.bind(self.target.bound_to()) if self.target.is_bound else 0

    cdef list sinks_behind(self):
        return [self.target]

    cdef list held_back(self):
        return [()]

    cdef int bind(self, object dtype) except -1:
        if sr_state(&self.state) <= SR_MAKING:
            self.refuse(SR_NEW)
        self.target.bind(dtype)
        return Sink.bind(self, dtype)

    cdef int forward_rest(self, Py_ssize_t least) except -1:
        """Send on what is held back, if that is so much."""
        self.enter()
        try:
            self.forward_all(least)
        finally:
            self.leave()
        return 0

    cdef int forward_all(self, Py_ssize_t least) except -1:
        """The same where the sink is entered."""
        return 0

    def flush(self):
        """Flush the sink behind."""
        self.target.flush()

    def close(self):
        """Flush, then close the sink behind."""
        cdef int state = SR_OPEN
        if sr_state(&self.state) == SR_CLOSED:
            return
        self.flush()
        self.enter()
        try:
            self.forward_all(1)  # of what came meanwhile, and now nothing comes any more
            hang_up(self.target)
            state = SR_CLOSED
        finally:
            sr_leave(&self.state, state)

    @property
    def sink(self):
        """The sink behind this one, as it was given."""
        return self.sink

    def __repr__(self):
        return f"{type(self).__name__}({self.sink!r})"


cdef object new_lock = threading.Lock
cdef Py_ssize_t forks = 0  # between this process and the first


cdef Py_ssize_t forks_so_far() noexcept nogil:
    return forks


def _after_fork_in_child():
    global forks
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


cdef class LockedSink(ForwardingSink):
    """LockedSink(sink)\n--\n
    A lock in front of one sink that several producers share.

    Parameters
    ----------
    sink : sink
        The sink to share; its items come from one producer at a time, in whole blocks. It is closed
        with the last of their rings.

    Notes
    -----
    **Thread safety.** Any number of threads. One that waits lets go of the GIL. A sink that sends
    back into its own lock gets a `RuntimeError`, not a deadlock.
    """

    def __init__(self, sink):
        self.attach(sink)
        self.lock = new_lock()
        self.forks = forks
        self.adopt()

    cdef int acquire(self) except -1:
        cdef unsigned long me = PyThread_get_thread_ident()
        with cython.critical_section(self):
            if self.forks != forks:  # in a child: whoever held the lock is not here
                self.lock = new_lock()
                self.owner = 0
                self.forks = forks
            lock = self.lock
        if self.owner == me:
            self.refuse(SR_BUSY)
        lock.acquire()
        self.owner = me
        return 0

    cdef int release(self) except -1:
        self.owner = 0
        self.lock.release()
        return 0

    cdef type described_class(self):
        return LockedSink

    cdef str hold_still(self):
        self.acquire()

    cdef int let_go(self) except -1:
        return self.release()

    cdef int meet(self, long long on_the_way, list found) except -1:
        self.acquire()
        try:
            return ForwardingSink.meet(self, on_the_way, found)
        finally:
            self.release()

    cdef int bind(self, object dtype) except -1:
        """Under the lock too: who comes second sends nothing before the first was `attached`."""
        if sr_state(&self.state) <= SR_MAKING:
            self.refuse(SR_NEW)
        self.acquire()
        try:
            return ForwardingSink.bind(self, dtype)
        finally:
            self.release()

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        self.acquire()
        try:
            deliver(self.target, items, count, taken)
        finally:
            self.release()
        return 0

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        self.acquire()
        try:
            deliver_objects(self.target, items, count, taken)
        finally:
            self.release()
        return 0

    def flush(self):
        """Flush the sink behind, under the lock."""
        self.acquire()
        try:
            self.target.flush()
        finally:
            self.release()

    def close(self):
        """Close the sink behind, under the lock."""
        if sr_state(&self.state) == SR_CLOSED:
            return
        self.acquire()
        try:
            if sr_state(&self.state) != SR_CLOSED:  # by whoever had the lock
                hang_up(self.target)
                self.shut()
        finally:
            self.release()


cdef class GroupingSink(ForwardingSink):
    """What `BatchSink` and `ReduceSink` share: items are gathered into groups of n. Not made by hand."""

    def __cinit__(self, *args, **kwargs):
        self.is_guarded = True
        self.objects = []

    cdef int attach_groups(self, object n, object given) except -1:
        cdef Py_ssize_t size
        try:
            size = operator.index(n)
        except TypeError:
            raise TypeError(f"n must be an integer, not {n!r}") from None
        except OverflowError:
            raise MemoryError(f"no memory for groups of {n} items") from None
        if size < 1:
            raise ValueError(f"n must be at least 1, not {n}")
        self.attach(given)
        self.n = size
        return 0

    cdef int fit(self, object dtype) except -1:
        """The memory for one group, before anything can be sent."""
        if dtype is None:
            return 0
        try:
            self.group = new_block(dtype, self.n)
        except (MemoryError, ValueError):
            raise MemoryError(f"no memory for groups of {self.n} items of {dtype!r}") from None
        self.group_data = <char *>cnp.PyArray_DATA(self.group)
        return 0

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        cdef const char *source = <const char *>items
        cdef Py_ssize_t done = 0  # of these items
        cdef Py_ssize_t part
        try:
            while True:
                if self.held == self.n:
                    self.forward_held()
                elif done == count:
                    return 0
                elif self.held == 0 and count - done >= self.n:
                    # whole groups go on from where they are
                    self.forward(source + done * self.itemsize, (count - done) // self.n, &done)
                else:
                    part = min(self.n - self.held, count - done)
                    memcpy(self.group_data + self.held * self.itemsize, source + done * self.itemsize,
                           part * self.itemsize)
                    self.held += part
                    done += part
        finally:
            taken[0] += done

    cdef int forward_held(self) except -1 nogil:
        """The group that is gathered, full or not; what isn't taken stays."""
        cdef Py_ssize_t taken = 0
        try:
            if self.held == self.n:
                self.forward(self.group_data, 1, &taken)
            else:
                self.forward_part(&taken)
        finally:
            self.held -= taken
            memmove(self.group_data, self.group_data + taken * self.itemsize, self.held * self.itemsize)
        return 0

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        cdef Py_ssize_t i = 0
        while True:
            if len(self.objects) == self.n:
                self.forward_objects()
            elif i == count:
                return 0
            else:
                self.objects.append(<object>items[i])
                taken[0] += 1
                i += 1

    cdef int forward(self, const void *items, Py_ssize_t groups, Py_ssize_t *taken) except -1 nogil:
        """Send on `groups` groups of n; add to `taken` the items they were made of."""
        return Sink.send_block(self, items, groups, taken)  # raises: a subclass knows how

    cdef int forward_part(self, Py_ssize_t *taken) except -1 nogil:
        """Send on the group that is still filling."""
        return Sink.send_block(self, NULL, 0, taken)

    cdef int forward_objects(self) except -1:
        """Send on the gathered objects; those that are taken leave the list."""
        return 0

    cdef int forward_all(self, Py_ssize_t least) except -1:
        if self.held >= least:
            self.forward_held()
        if len(self.objects) >= least:
            self.forward_objects()
        return 0

    def __del__(self):
        if sr_state(&self.state) == SR_CLOSED or len(self) == 0:
            return
        try:
            self.forward_rest(1)
        except BaseException as error:
            warn_lost(self, len(self), error)

    def __len__(self):
        return self.held + len(self.objects)

    @property
    def n(self):
        """Items in a group."""
        return self.n

    def __repr__(self):
        return f"{type(self).__name__}({self.n}, {self.sink!r})"


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
        self.adopt()

    cdef type described_class(self):
        return BatchSink

    cdef list held_back(self):
        return [self.objects if self.item_type is None else self.group[:self.held]]

    cdef int forward(self, const void *items, Py_ssize_t groups, Py_ssize_t *taken) except -1 nogil:
        cdef Py_ssize_t i
        for i in range(groups):
            deliver(self.target, <const char *>items + i * self.n * self.itemsize, self.n, taken)
        return 0

    cdef int forward_part(self, Py_ssize_t *taken) except -1 nogil:
        return deliver(self.target, self.group_data, self.held, taken)

    cdef int forward_objects(self) except -1:
        cdef Py_ssize_t taken = 0
        try:
            group = tuple(self.objects)  # of which nobody else can get hold
            deliver_objects(self.target, PySequence_Fast_ITEMS(group), len(group), &taken)
        finally:
            del self.objects[:taken]
        return 0

    def flush(self):
        """Forward the items held back, fewer than n, then flush the sink behind."""
        self.forward_rest(1)
        self.target.flush()


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
        if isinstance(reduce, np.ufunc) and reduce.nin != 2:
            raise TypeError(f"a ufunc that reduces takes two arguments, and {reduce!r} takes {reduce.nin}")
        self.attach_groups(n, sink)
        self.reduce = reduce
        self.leave()

    cdef int bind(self, object dtype) except -1:
        if sr_state(&self.state) <= SR_MAKING:
            self.refuse(SR_NEW)
        if dtype is None or self.target.is_bound and self.target.bound_to() is None:
            self.target.bind(dtype)
        # else the first reduced items tell what the sink behind is sent
        return Sink.bind(self, dtype)

    cdef int forward(self, const void *items, Py_ssize_t groups, Py_ssize_t *taken) except -1 with gil:
        block = copy_block(self.item_type, items, groups * self.n)
        block = block.reshape((groups, self.n) + block.shape[1:])
        if isinstance(self.reduce, np.ufunc):
            return self.forward_reduced(self.reduce.reduce(block, axis=1), self.n, taken)
        return self.forward_reduced([self.reduce(group) for group in block], self.n, taken)

    cdef int forward_part(self, Py_ssize_t *taken) except -1 with gil:
        block = copy_block(self.item_type, self.group_data, self.held)
        reduced = self.reduce.reduce(block) if isinstance(self.reduce, np.ufunc) else self.reduce(block)
        return self.forward_reduced([reduced], self.held, taken)

    cdef int forward_reduced(self, object reduced, Py_ssize_t n, Py_ssize_t *taken) except -1:
        """Send on items that stand for n each."""
        cdef cnp.ndarray block
        cdef Py_ssize_t sent = 0
        dtype = self.target.bound_to()
        if dtype is None:
            reduced = np.asarray(reduced)
            self.target.bind(np.dtype((reduced.dtype, reduced.shape[1:])))  # refused if it takes objects by now
            dtype = self.target.bound_to()
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
        """Flush the sink behind. A group that isn't full stays."""
        self.forward_rest(self.n)  # one that the sink behind refused
        self.target.flush()

    def close(self):
        """Reduce the group that isn't full, then close the sink behind."""
        if sr_state(&self.state) != SR_CLOSED:
            self.forward_rest(1)
            ForwardingSink.close(self)

    @property
    def reduce(self):
        """The ufunc or callable."""
        return self.reduce

    def __repr__(self):
        return f"ReduceSink({self.n}, {self.reduce!r}, {self.sink!r})"


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
    taken the block and owes that sink its part, at most one block; it raises, and pays before it
    takes anything more. **Thread safety.** One thread at a time; a second is refused.
    """

    def __cinit__(self, *args, **kwargs):
        self.is_guarded = True
        self.state = SR_NEW

    def __init__(self, *sinks):
        cdef Sink target
        if not sinks:
            raise TypeError("TeeSink needs at least one sink")
        targets = [as_sink(given) for given in sinks]
        self.claim(None)
        try:
            for target in targets:
                engage(self, target)
        except BaseException:
            sr_leave(&self.state, SR_NEW)
            raise
        self.targets = targets
        self.owed = [None] * len(sinks)
        self.hung_up = [False] * len(sinks)
        self.sinks = sinks
        self.leave()

    cdef list sinks_behind(self):
        return self.targets

    cdef type described_class(self):
        return TeeSink

    cdef list held_back(self):
        return [() if owed is None else owed for owed in self.owed]

    cdef int bind(self, object dtype) except -1:
        cdef Sink target
        if sr_state(&self.state) <= SR_MAKING:
            self.refuse(SR_NEW)
        for target in self.targets:
            target.bind(dtype)
        return Sink.bind(self, dtype)

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        cdef Py_ssize_t accepted, sent
        self.pay_all()
        failure = None
        accepted = count
        for i in range(len(self.targets)):
            sent = 0
            try:
                deliver(self.targets[i], items, accepted, &sent)
            except BaseException as error:
                failure = error if failure is None else failure
                if i == 0:
                    accepted = sent
                elif sent < accepted:
                    self.owed[i] = copy_block(
                        self.item_type, <const char *>items + sent * self.itemsize, accepted - sent
                    )
            if accepted == 0:
                break
        taken[0] += accepted
        if failure is not None:
            raise failure
        return 0

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        cdef Py_ssize_t accepted = count, sent, j
        self.pay_all()
        failure = None
        for i in range(len(self.targets)):
            sent = 0
            try:
                deliver_objects(self.targets[i], items, accepted, &sent)
            except BaseException as error:
                failure = error if failure is None else failure
                if i == 0:
                    accepted = sent
                elif sent < accepted:
                    self.owed[i] = [<object>items[j] for j in range(sent, accepted)]
            if accepted == 0:
                break
        taken[0] += accepted
        if failure is not None:
            raise failure
        return 0

    cdef int pay(self, Py_ssize_t i) except -1:
        """Deliver what is owed to a sink from a call that failed."""
        cdef Py_ssize_t sent = 0
        owed = self.owed[i]
        if owed is None:
            return 0
        try:
            if self.item_type is None:
                deliver_objects(self.targets[i], PySequence_Fast_ITEMS(owed), len(owed), &sent)
            else:
                deliver(self.targets[i], cnp.PyArray_DATA(owed), len(owed), &sent)
        finally:
            self.owed[i] = owed[sent:] if sent < len(owed) else None
        return 0

    cdef int pay_all(self) except -1:
        for i in range(len(self.owed)):
            self.pay(i)
        return 0

    cdef int each(self, str call) except -1:
        """Pay each sink, then flush or close it; the first error is raised after the last sink."""
        cdef Sink target
        failure = None
        self.enter()
        try:
            for i, target in enumerate(self.targets):
                try:
                    self.pay(i)
                    if call == "close":
                        if not self.hung_up[i]:
                            hang_up(target)
                            self.hung_up[i] = True
                    elif sr_state(&target.state) != SR_CLOSED:
                        target.flush()
                except BaseException as error:
                    failure = error if failure is None else failure
        finally:
            self.leave()
        if failure is not None:
            raise failure
        return 0

    def flush(self):
        """Deliver what is owed, then flush all sinks; the first error is raised after the last."""
        self.each("flush")

    def close(self):
        """Deliver what is owed, then close all sinks; the first error is raised after the last.

        A sink that is still owed something then stays open, and closing again goes on from there.
        """
        if sr_state(&self.state) != SR_CLOSED:
            self.each("close")
            self.shut()

    def __del__(self):
        cdef int state = sr_state(&self.state)
        if state <= SR_MAKING or state == SR_CLOSED or not any(owed is not None for owed in self.owed):
            return
        try:
            self.pay_all()
        except BaseException as error:
            warn_lost(self, sum(len(owed) for owed in self.owed if owed is not None), error)

    @property
    def sinks(self):
        """The sinks, as they were given."""
        return self.sinks or ()

    def __repr__(self):
        return f"TeeSink({', '.join(map(repr, self.sinks or ()))})"


cdef class ProducerSink(Sink):
    """ProducerSink(factory)\n--\n
    Makes each producer a sink of its own.

    Parameters
    ----------
    factory : callable
        ``factory(i)`` returns the sink of producer i; called once for each, when it is first needed.

    Notes
    -----
    A ring with one producer is producer 0. **Thread safety.** :meth:`producer` and sending from one
    thread for each producer; the sinks share nothing here.

    >>> sinks = ProducerSink(lambda i: CollectSink())
    >>> ring = ArrayRing(2, sink=sinks)
    >>> ring.extend([1, 2, 3])
    >>> sinks.producer(0).items
    array([1.])
    """

    def __cinit__(self, *args, **kwargs):
        self.state = SR_NEW

    def __init__(self, factory):
        if not callable(factory):
            raise TypeError(f"factory must be a callable that makes a sink for a producer, not {factory!r}")
        self.claim(None)
        self.given = {}
        self.made = {}
        self.used = set()
        self.factory = factory
        self.leave()

    def producer(self, index, /):
        """The sink of producer `index`, as the factory made it.

        Parameters
        ----------
        index : int
            From 0.
        """
        number = operator.index(index)
        if number < 0:
            raise ValueError(f"producers count from 0, not {index}")
        if number not in self.given:
            self.sink_of(number)
        return self.given[number]

    cdef Sink sink_of(self, object index):
        cdef Sink sink = self.made.get(index)
        cdef Sink other
        if sink is None:
            if sr_state(&self.state) == SR_CLOSED:
                self.refuse(SR_CLOSED)
            given = self.factory(index)
            sink = as_sink(given)
            if self.is_bound:
                sink.bind(self.bound_to())
            with cython.critical_section(self):
                other = self.made.get(index)
                if other is not None:  # made meanwhile for the same index: it counts
                    return other
                self.given[index] = given
                self.made[index] = sink
            if self.is_bound:  # also meanwhile
                sink.bind(self.bound_to())
                self.use(index, sink)
        return sink

    cdef int bind(self, object dtype) except -1:
        if sr_state(&self.state) <= SR_MAKING:
            self.refuse(SR_NEW)
        self.bind_made(dtype)
        Sink.bind(self, dtype)
        return self.bind_made(dtype)  # those that were made meanwhile

    cdef int bind_made(self, object dtype) except -1:
        cdef Sink sink
        for index, sink in list(self.made.items()):
            sink.bind(dtype)
            self.use(index, sink)
        return 0

    cdef list sinks_behind(self):
        return list(self.made.values())

    cdef int use(self, object index, Sink sink) except -1:
        """Be a user of a sink. Until something is sent here they are only made, for rings that use and close them."""
        with cython.critical_section(self):
            if index not in self.used:
                engage(self, sink)
                self.used.add(index)
        return 0

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        return deliver(self.sink_of(0), items, count, taken)

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        return deliver_objects(self.sink_of(0), items, count, taken)

    def flush(self):
        """Flush every sink that was made."""
        for sink in list(self.made.values()):
            sink.flush()

    def close(self):
        """Close every sink that was made; the first error is raised after the last."""
        cdef Sink sink
        failure = None
        if sr_state(&self.state) == SR_CLOSED:
            return
        for index in list(self.made):
            sink = self.made.pop(index, None)  # so that one alone hangs up
            if sink is None:
                continue
            try:
                if index in self.used:
                    hang_up(sink)
                elif sink.users == 0:
                    sink.close()
            except BaseException as error:
                self.made[index] = sink
                failure = error if failure is None else failure
        if failure is not None:
            raise failure
        self.shut()

    @property
    def factory(self):
        """What makes the sinks."""
        return self.factory

    def __repr__(self):
        return f"ProducerSink({self.factory!r})"
