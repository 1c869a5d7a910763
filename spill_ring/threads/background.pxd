"""A thread of its own for a sink, so that a slow one never holds up the producer."""
from spill_ring.sinks.forwarding cimport ForwardingSink
from spill_ring.threads.parking cimport atomic_int, atomic_ulong, awaited
from spill_ring._core.sink cimport Sink
from spill_ring.threads.spsc cimport SpscRing


cdef class Worker:
    """What the producer and the thread share. The atomics are sequentially consistent, since each call of the
    slow sink dwarfs them, and each says something about what was written before it."""
    cdef SpscRing ring
    cdef Sink target  # while the thread runs it is the thread's
    # Written by the producer, read by the thread.
    cdef atomic_int request  # what to do once the ring is empty: a kind, and a number of its own
    cdef atomic_int is_orphan  # the sink was dropped: no producer will ever see an error
    # Written by the thread, read by the producer.
    cdef atomic_int served  # the last request that was done; after what it did
    cdef atomic_int has_ended  # before the `served` that tells of it
    cdef atomic_ulong thread  # its id; 0: none yet
    # By the thread, which waits then, after `error`; taken back by the producer, after it took that.
    cdef atomic_int has_failed
    cdef object error

    cdef int work(self) except -1
    cdef int send(self) except -1
    cdef int tell(self, object error) except -1


cdef class BackgroundSink(ForwardingSink):
    cdef Worker worker
    cdef Py_ssize_t capacity
    cdef bint is_blocking
    cdef object thread
    cdef Py_ssize_t forks  # at which the thread was started; -1: not yet
    cdef bint is_alone  # no thread starts any more: the one that calls does its work

    cdef int start(self) except -1 with gil
    cdef int send_waiting(self) except -1
    cdef Py_ssize_t offer(self, const void *items, Py_ssize_t count) except -1 nogil
    cdef int raise_error(self) except -1 with gil
    cdef int raise_full(self, Py_ssize_t count) except -1 with gil
    cdef bint is_running(self) noexcept nogil
    cdef int wait_until(self, bint (*is_there)(const awaited *what) noexcept nogil) except -1 nogil
    cdef void request(self, int kind) noexcept
    cdef int ask(self, int kind) except -1
    cdef bint wait_through(self) except -1
