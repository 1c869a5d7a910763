"""A thread of its own for a sink, so that a slow one never holds up the producer."""
from spill_ring.park cimport atomic_int, awaited
from spill_ring.sink cimport ForwardingSink, Sink
from spill_ring.spsc_ring cimport SpscRing


cdef class Worker:
    cdef SpscRing ring
    cdef Sink target
    cdef atomic_int request  # what the thread shall do once the ring is empty: a kind, and a number of its own
    cdef atomic_int served  # the last request that was done
    cdef atomic_int has_failed  # with `error`, which the producer has not seen yet
    cdef atomic_int has_ended
    cdef atomic_int is_orphan  # the sink was dropped: no producer will ever see an error
    cdef object error
    cdef unsigned long thread

    cdef int work(self) except -1
    cdef int send(self) except -1
    cdef int tell(self, object error) except -1


cdef class BackgroundSink(ForwardingSink):
    cdef Worker worker
    cdef Py_ssize_t capacity
    cdef bint is_blocking
    cdef object thread
    cdef Py_ssize_t forks  # at which the thread was started; -1: not yet

    cdef int start(self) except -1 with gil
    cdef Py_ssize_t offer(self, const void *items, Py_ssize_t count) except -1 nogil
    cdef int raise_error(self) except -1 with gil
    cdef int refuse_full(self, Py_ssize_t count) except -1 with gil
    cdef bint is_running(self) noexcept nogil
    cdef int wait_until(self, bint (*is_there)(const awaited *what) noexcept nogil) except -1 nogil
    cdef void request(self, int kind) noexcept
    cdef int ask(self, int kind) except -1
