"""Which thread waits for which, so that a wait that can never end is an error instead."""
from spill_ring._core.cpython cimport PyThread_get_thread_ident
from spill_ring._core.lifecycle cimport at_fork


cdef extern from "deadlock.h" nogil:
    void sr_begin_wait(sr_wait *wait)
    void sr_end_wait(sr_wait *wait)
    int sr_find_circle(const sr_wait *wait)
    void sr_forget_other_waits(unsigned long thread)


cdef void begin_wait(sr_wait *wait) noexcept nogil:
    wait.thread = PyThread_get_thread_ident()
    sr_begin_wait(wait)


cdef void end_wait(sr_wait *wait) noexcept nogil:
    sr_end_wait(wait)


cdef int find_circle(const sr_wait *wait) noexcept nogil:
    return sr_find_circle(wait)


cdef int raise_circle() except -1 with gil:
    raise RuntimeError(
        "this call would wait for ever: the thread that it waits for is waiting for this one. Does a sink send to what "
        "feeds it, or two threads each to the other's?"
    )


def _forget_other_waits():
    sr_forget_other_waits(PyThread_get_thread_ident())


at_fork(None, _forget_other_waits)
