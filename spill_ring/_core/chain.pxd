"""Chains: which sinks send to which, how deep a chain is, and who closes a sink that several use."""
from spill_ring._core.guard cimport sr_state_is_atomic
from spill_ring._core.sink cimport Sink


# Begin to initialise `sink`, once and for good, as a user of `target`, which may be None.
cdef int begin_init(Sink sink, Sink target) except -1

# `user` begins to send to `sink`, which is initialised and open: the only way in which chains come about.
cdef int add_user(Sink user, Sink sink) except -1
# A user stops sending to `sink`; the last one closes it.
cdef int drop_user(Sink sink) except -1
# The flush that begins a `close` has failed. May the sink be closed all the same? Yes if an earlier `close` failed too,
# and a sink in the chain has said that items are lost, whatever is tried again.
cdef bint may_close_unflushed(Sink sink) except -1

# Have `sink`, and all that it sends to, entered by a compare-and-swap from now on. Whoever is going to enter a sink
# without the GIL calls this before; guard.pxd says why. What is attached behind `sink` later follows by itself.
cdef int make_atomic(Sink sink) except -1 with gil

cdef inline int ensure_atomic(Sink sink) except -1 nogil:
    """`make_atomic` for a caller that may have no GIL."""
    return 0 if sr_state_is_atomic(&sink.state) else make_atomic(sink)

# Check the depth again for sinks that a factory creates later: their chain may loop back. `leave_chain` gets
# what `enter_chain` returned.
cdef int enter_chain(Sink sink) except -1
cdef void leave_chain(int steps) noexcept
