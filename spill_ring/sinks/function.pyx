"""A function as a sink, of Python or compiled; and whatever else a user gives as a sink."""
from cpython.object cimport PyObject

from spill_ring._core.chain cimport begin_init
from spill_ring._core.block cimport copy_block_for_python
from spill_ring._core.delivery cimport refuse_async, refuse_coroutine
from spill_ring._core.gil cimport PyEval_RestoreThread, PyThreadState, sr_release_gil
from spill_ring._core.guard cimport SR_CLOSED, SR_NEW, sr_state_load
from spill_ring.sinks.compiled cimport native_function, native_sink
from spill_ring._core.sink cimport (
    NATIVE, Sink, declare_traits, send_by_python, send_object_by_python, sr_ensure_thread_state,
)

from collections.abc import Coroutine


cdef class FnSink(Sink):
    """FnSink(fn, flush=None)\n--\n
    Calls a function with what it is sent.

    Parameters
    ----------
    fn : callable or compiled function
        ``fn(block)`` behind a typed ring, with an ndarray it may keep; ``fn(item)`` behind an object
        ring. What it returns is ignored, but a coroutine; what it raises reaches whoever pushed.

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
        `fn` is not callable, a coroutine function or a generator function, both of which deliver nothing when they
        are called, or a compiled function of another signature; or such a one is attached to an object ring.
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
            refuse_async(given, given)
        begin_init(self, None)
        self.fn = fn
        self.on_flush = flush
        self.native = native
        self.user_data = user_data
        if native != NULL:
            declare_traits(self, FnSink, NATIVE)
        self.leave()

    cdef int allocate_for(self, object dtype) except -1:
        if dtype is None and self.native != NULL:
            raise TypeError(f"{self.fn!r} is a compiled function, which takes items of a dtype and no objects")
        return 0

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        cdef PyThreadState *thread
        cdef int error
        if self.native == NULL:
            return self.call_fn(items, count, taken)
        thread = sr_release_gil()
        error = self.native(items, count, self.user_data)
        if thread != NULL:
            PyEval_RestoreThread(thread)
        if error:
            sr_ensure_thread_state()
            return self.raise_error(error, count)
        taken[0] += count
        return 0

    cdef int call_fn(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        block = copy_block_for_python(self.item_type, items, count)
        if self.is_send:
            return send_by_python(self.fn, block, count, taken)
        refuse_coroutine(self.fn, self.fn(block))
        taken[0] += count
        return 0

    cdef int raise_error(self, int error, Py_ssize_t count) except -1 with gil:
        raise RuntimeError(f"{self.fn!r} returned {error}, and has taken none of {count} items")

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        cdef Py_ssize_t i
        for i in range(count):
            if self.is_send:
                send_object_by_python(self.fn, <object>items[i], taken)
            else:
                refuse_coroutine(self.fn, self.fn(<object>items[i]))
                taken[0] += 1
        return 0

    def flush(self):
        """Call the function given as `flush`, if there is one."""
        if self.on_flush is not None:
            refuse_coroutine(self.on_flush, self.on_flush())

    def close(self):
        """Flush, then take nothing more; an object given as a sink is closed if it has a ``close``."""
        if sr_state_load(&self.state) != SR_CLOSED:
            self.flush()
            if self.on_close is not None:
                refuse_coroutine(self.on_close, self.on_close())
            self.mark_closed()

    @property
    def fn(self):
        """The function that is called."""
        return self.fn

    def __repr__(self):
        return f"FnSink({self.fn!r})"


cdef Sink as_sink(object given):
    cdef Sink sink
    cdef void *user_data
    if isinstance(given, type) and (issubclass(given, Sink) or hasattr(given, "send")):
        raise TypeError(f"sink is the class {given.__name__}; pass an instance of it")
    if isinstance(given, Coroutine):
        raise TypeError(f"{given!r} is a coroutine and no sink: give a plain function that takes the items")
    if not isinstance(given, Sink) or (<Sink>given).overrides_send:
        for name in ("send", "flush", "close"):
            refuse_async(given, getattr(given, name, None))
    if isinstance(given, Sink):
        sink = given
        if sr_state_load(&sink.state) == SR_CLOSED:
            sink.raise_for_state(SR_CLOSED)
    elif hasattr(given, "makefile"):
        # Its send() may take only a part, and counts bytes, not items.
        raise TypeError(f"{given!r} is no sink; a socket goes into a FileSink, as socket.makefile('wb')")
    elif callable(getattr(given, "send", None)):
        sink = FnSink(given.send, getattr(given, "flush", None))
        (<FnSink>sink).is_send = True
        (<FnSink>sink).on_close = getattr(given, "close", None)
    elif callable(given) or native_function(given, &user_data) != NULL:
        sink = FnSink(given)
    else:
        raise TypeError(
            f"{given!r} is no sink: expected a Sink, a ring, a callable, a compiled function or an object with send(); "
            "a file goes into a FileSink, a queue into a ChannelSink"
        )
    return sink
