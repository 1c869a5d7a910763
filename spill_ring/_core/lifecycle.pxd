"""The ends of things: the interpreter's exit, a fork, a sink or ring that is dropped without `close`."""
from spill_ring._core.sink cimport Sink


# Flush a ring or sink that still has something pending when the interpreter exits.
cdef int flush_at_exit(Sink sink) except -1
# Call a function at the interpreter's exit, before the sinks are flushed.
cdef int at_exit(object function) except -1

# Forks between this process and the first one: a thread that was started before one of them is not here.
cdef Py_ssize_t forks_so_far() noexcept nogil
# Call `before` before each fork, in the process that forks, and `after_in_child` in the child. Either may be None.
cdef int at_fork(object before, object after_in_child) except -1

# Warn that a `__del__`, or the exit, could not deliver the last items. Where warnings are errors, the error is printed:
# the caller has other sinks to see to.
cdef void warn_lost(object holder, Py_ssize_t count, object error, str name=*) noexcept
# The repr of an error, whatever its class makes of that.
cdef str repr_of(object error)
