"""A thread of its own for a sink, so that a slow one never holds up the producer."""
from spill_ring.sinks.forwarding cimport ForwardingSink
from spill_ring._core.deadlock cimport atomic_ulong
from spill_ring.threads.core cimport atomic_int
from spill_ring.threads.parking cimport awaited
from spill_ring._core.sink cimport Sink
from spill_ring.threads.spsc cimport SpscRing


cdef class Worker:
    """What the producer and the thread share. The atomics are sequentially consistent: a call of the slow sink takes
    far longer than they do, and each tells that what was written before it is there."""
    cdef SpscRing ring
    cdef Sink target  # while the thread runs it is the thread's
    # Written by the producer, read by the thread.
    cdef atomic_int request  # what to do once the ring is empty: a kind, and a number of its own
    cdef atomic_int is_orphan  # the sink was dropped, so no producer will ever get an error
    # Written by the thread, read by the producer.
    cdef atomic_int served  # the last request that was done; written after that
    cdef atomic_int has_ended  # written before the `served` of that request
    cdef atomic_ulong thread  # its id; 0: none yet
    # Set by the thread after `error`, and then it waits. Cleared by the producer after it has taken the error.
    cdef atomic_int has_failed
    cdef object error

    cdef bint begin(self) except -1
    cdef bint step(self) except -1
    cdef int send(self) except -1
    cdef int report_error(self, object error) except -1


cdef class BackgroundSink(ForwardingSink):
    cdef Worker worker
    cdef Py_ssize_t capacity
    cdef bint is_blocking
    cdef object thread
    cdef Py_ssize_t forks  # how many there had been as the thread was started; -1: it wasn't yet
    cdef bint is_alone  # no thread can be started any more, so the caller's thread does the work

    cdef int start(self) except -1 with gil
    cdef int recover_from_fork(self) except -1
    cdef void forget_thread(self) noexcept
    cdef int send_waiting(self) except -1
    cdef int end_thread(self) except -1
    cdef int leave_worker(self) except -1
    cdef Py_ssize_t try_send(self, const void *items, Py_ssize_t count) except -1 nogil
    cdef int raise_error(self) except -1 with gil
    cdef object take_error(self)
    cdef int raise_full(self, Py_ssize_t count) except -1 with gil
    cdef bint is_running(self) noexcept nogil
    cdef bint has_died(self) noexcept nogil
    cdef int wait_until(self, bint (*is_there)(const awaited *what) noexcept nogil) except -1 nogil
    cdef void request(self, int kind) noexcept
    cdef int request_and_wait(self, int kind) except -1
    cdef bint wait_drained(self) except -1
