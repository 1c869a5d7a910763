"""The ends of things: the interpreter's exit, a fork, a sink or ring that is dropped without `close`."""
from spill_ring._core.sink cimport Sink

import atexit
import os
import warnings
import weakref

# A ring that is alive when the interpreter exits, in a module or a daemon thread, may never be
# finalised; so what it holds is flushed while everything still works.
cdef object open_sinks = weakref.WeakValueDictionary()  # by id, since a subclass may not be hashable


cdef int flush_at_exit(Sink sink) except -1:
    open_sinks[id(sink)] = sink
    return 0


@atexit.register
def _flush_open_sinks():
    cdef Sink sink
    # The longest chains come first: then the threads of BackgroundSinks are idle when their targets are flushed.
    # (`valuerefs` gives a list, since other threads may still make rings.)
    sinks = [sink for sink in [reference() for reference in open_sinks.valuerefs()] if sink is not None]
    for sink in sorted(sinks, key=lambda sink: (<Sink>sink).depth, reverse=True):
        try:
            sink.flush_pending()
        except BaseException as error:
            warn_lost(sink, len(sink), error)


cdef int at_exit(object function) except -1:
    atexit.register(function)  # the functions that were registered last are called first
    return 0


cdef Py_ssize_t forks = 0


cdef Py_ssize_t forks_so_far() noexcept nogil:
    return forks


def _count_fork():
    global forks
    forks += 1


cdef int at_fork(object before, object after_in_child) except -1:
    if hasattr(os, "register_at_fork"):
        callbacks = {"before": before, "after_in_child": after_in_child}
        os.register_at_fork(**{name: function for name, function in callbacks.items() if function is not None})
    return 0


at_fork(None, _count_fork)


cdef void warn_lost(object holder, Py_ssize_t count, object error, str name=None) noexcept:
    if warnings is None:  # so late in the interpreter's exit that nobody is left to warn
        return
    warnings.warn(
        f"{name or type(holder).__name__} was not closed before it was dropped or Python exited, and its sink "
        f"did not take the last {count} items: {repr_of(error)}",
        ResourceWarning, source=holder,
    )


cdef str repr_of(object error):
    """The repr of an error of the user's, which may fail: then only its class."""
    try:
        return repr(error)
    except Exception:
        return f"{type(error).__name__}, whose repr fails"
