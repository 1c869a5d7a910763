"""A forked child has copies of the rings between threads, and none of the threads that were inside of them."""
from spill_ring._core.cpython cimport PyThread_get_thread_ident
from spill_ring._core.guard cimport SR_BUSY, SR_FORKED, SR_OPEN, SR_RESERVED, sr_state_load, sr_state_store
from spill_ring._core.lifecycle cimport at_fork
from spill_ring.threads.core cimport sr_index, sr_spsc
from spill_ring.threads.producer cimport ProducerSide

import weakref


cdef extern from "fork.h" nogil:
    sr_index sr_load_tail(const sr_spsc *ring)
    void sr_forget_pushed(sr_spsc *ring, sr_index tail)
    void sr_count_evicted(sr_spsc *ring)
    void sr_count_dropped(sr_spsc *ring)
    void sr_count_drained(sr_spsc *ring)


cdef object rings = weakref.WeakValueDictionary()  # by id, since a subclass may not be hashable


cdef int watch_forks(ProducerSide ring) except -1:
    rings[id(ring)] = ring
    return 0


def _before_fork():
    """Note how far each ring is filled. The kernel copies memory piece by piece, so a producer that pushes meanwhile
    may leave counts in the child of items that it doesn't have."""
    cdef ProducerSide ring
    # valuerefs returns a list, since other threads may make rings meanwhile.
    for ring in [ring for ring in [reference() for reference in rings.valuerefs()] if ring is not None]:
        ring.tail_at_fork = sr_load_tail(ring.core)


def _free_sides():
    """In a forked child: free the sides that other threads were in, since only the thread that forked is here."""
    cdef ProducerSide ring
    for ring in list(rings.values()):
        sr_forget_pushed(ring.core, ring.tail_at_fork)
        if free_side(&ring.state, &ring.thread):
            sr_count_dropped(ring.core)
            if ring.slots != NULL:
                sr_count_evicted(ring.core)
        if free_side(&ring.shared.consumer.state, &ring.shared.consumer.thread) and ring.slots != NULL:
            sr_count_drained(ring.core)


cdef bint free_side(int *state, unsigned long *thread) noexcept:
    """Was another thread in the side, which is free now?"""
    cdef int found = sr_state_load(state)
    if found == SR_RESERVED:
        sr_state_store(state, SR_FORKED)  # the `with` may go on in the child; else the next call adopts the side
        return False
    if found != SR_BUSY or thread[0] == PyThread_get_thread_ident():
        return False
    sr_state_store(state, SR_OPEN)
    thread[0] = 0  # since the id may be given to another thread
    return True


at_fork(_before_fork, _free_sides)
