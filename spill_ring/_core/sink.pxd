"""The Sink protocol for Cython: subclass Sink, and override `send_block`, `send_objects` or both."""
cimport cython
from cpython.object cimport PyObject

from spill_ring._core.guard cimport Guarded, sr_ensure_thread_state  # the second is for sinks that are NATIVE
from spill_ring._core.tracing cimport Tracer


# Traits: what a class promises about its own way to take items. A subclass that takes them in another way loses the
# traits, unless it declares its own.
cdef enum:
    NATIVE = 1  # its `send_block` needs Python only to raise, and calls `sr_ensure_thread_state` first
    LENDS = 2  # it is a LendingSink that lends its memory
    TRACED = 4  # `trace` says where the items are


cdef class Sink(Guarded):
    cdef bint is_guarded  # refuses a second entry, because it keeps state of its own between two sends
    cdef bint overrides_send  # in Python
    cdef bint has_said_loss  # It raised that items are lost, whatever is tried again.
    cdef bint has_failed_to_close  # it, or a sink in front of it
    cdef int traits
    cdef bint has_deferred  # `run_deferred` has something to do
    cdef bint is_binding  # a thread is in `bind`, which may wait there, and so let other threads run
    cdef bint is_bound  # `bind` has settled which items come:
    cdef object item_type  # their dtype; None: objects, or not bound yet
    cdef Py_ssize_t itemsize
    cdef bint dtype_published  # another ring or sink was told the dtype, so it can't change any more
    cdef int depth  # sinks behind it, in the longest chain
    cdef Py_ssize_t n_users  # rings and sinks that send here; the sink closes with the last of them
    cdef Sink target  # the one sink that it sends to; None: there is none, or there are several
    cdef object __weakref__

    # Delivery: what a kind of sink overrides.

    # Called for each ring or sink that is going to send here. `dtype` None: objects.
    cdef int bind(self, object dtype) except -1
    # Called once, as the sink is bound and nobody else is inside: get the memory that such items need.
    cdef int allocate_for(self, object dtype) except -1
    # Take `count` contiguous items, oldest first, that are the sink's only until the call returns. A sink adds to
    # `taken` as it takes them: all of them, unless it raises.
    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil
    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1
    # Leave to `state`, and do what had to wait until the sink was left.
    cdef int run_deferred(self, int state) except -1
    # At the interpreter's exit: send on everything that is still here, also what waits for a consumer.
    cdef int flush_pending(self) except -1
    # The sinks that it sends to itself.
    cdef list targets(self)
    # What it and the sinks behind it were sent and have yet to deliver, oldest first: a list of ndarrays or lists.
    # The first `n_skipped` items of those are removed, as far as there are so many.
    cdef list undelivered(self, Py_ssize_t n_skipped)

    @cython.final
    cdef int bind_first(self, object dtype) except -1

    # Tracing: give the tracer one of its answers, or none. Ask by `trace_sink`.
    cdef int trace(self, Tracer tracer) except -1


# The one way to send. It refuses a closed sink, and guards a compiled `send_block`; a Python `send` guards itself.
cdef int deliver(Sink sink, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil
cdef int deliver_objects(Sink sink, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1
# The one of the two for items of a dtype, which is None for objects.
cdef int deliver_any(Sink sink, object dtype, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1

# Call a `send` of Python's with a block until it has taken all: it returns None for that, or the number that it took.
# 0 is a BlockingIOError. A `send` that raises has taken as many as its exception's `n_taken` says, else nothing.
cdef int send_by_python(object send, object block, Py_ssize_t count, Py_ssize_t *taken) except -1
# The same with one object.
cdef int send_object_by_python(object send, object item, Py_ssize_t *taken) except -1

# Declared here so that they are not compiled into `deliver`, whose every call would pay for them.
cdef int call_send(Sink sink, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil
cdef int call_send_objects(Sink sink, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1

# Before the sink opens: what `cls` promises, which a subclass with a delivery of its own doesn't.
cdef int declare_traits(Sink sink, type cls, int traits) except -1
# Ask where the items are. False: they can't be read back.
cdef bint trace_sink(Sink sink, Tracer tracer) except -1

# The items in what `undelivered` returned.
cdef inline Py_ssize_t count_items(list parts) except -1:
    cdef Py_ssize_t count = 0
    for part in parts:
        count += len(part)
    return count

# The dtype of items that the sink is bound to; None: objects, or not bound yet.
cdef object bound_dtype(Sink sink)

# The dtype of items that are sent by hand; binds a sink that isn't bound yet.
cdef object dtype_for(Sink sink, object items)

# May sending items of a dtype to it run Python code, so that Python must know the thread?
cdef bint needs_python(Sink sink) noexcept nogil

# What a dtype, or None, says is sent.
cdef str describe(object dtype)


cdef class DropSink(Sink):
    pass
