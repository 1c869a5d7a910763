"""The thread that took from a ring last, and whether it has ended."""
from spill_ring._core.cpython cimport PyThread_get_thread_ident
from spill_ring.threads.core cimport sr_spsc_state, sr_taker


# This thread takes from the ring, from which another one took before, or nobody.
cdef void begin_taking(sr_spsc_state *ring) noexcept nogil
# The ring is freed.
cdef void forget_taker(sr_spsc_state *ring) noexcept nogil


cdef inline void note_taker(sr_spsc_state *ring) noexcept nogil:
    """The caller has entered the consumer's side."""
    if ring.taker.thread != PyThread_get_thread_ident():
        begin_taking(ring)


cdef inline bint is_consumer_gone(const sr_spsc_state *ring) noexcept nogil:
    """Will nobody take from the ring any more, as far as one can tell? Any thread may ask."""
    return ring.taker.is_abandoned or ring.taker.has_ended
