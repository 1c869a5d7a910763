"""Waiting: a thread sleeps until another one has done something, or an event loop is told of it."""
from spill_ring._core.deadlock cimport atomic_ulong


cdef extern from * nogil:
    """
    typedef struct sr_parking sr_parking; /* It is defined in parking.h, which clients do not have. */
    """
    ctypedef struct sr_parking:
        pass


cdef class Parking:
    cdef sr_parking *place
    cdef int read_fd, write_fd
    cdef object pid  # of the process that opened them
    cdef int listening  # SR_BUSY: an event loop listens

    cdef int close(self) except -1
    cdef int fileno(self) except -2
    cdef bint listen(self) noexcept nogil
    cdef void unlisten(self) noexcept nogil
    cdef void wake(self) noexcept nogil


# What is waited for. `is_there` looks; `arm` asks the other side for a wake, `disarm` takes that back.
ctypedef struct awaited:
    void *context
    Py_ssize_t count
    bint (*is_there)(const awaited *what) noexcept nogil
    void (*arm)(const awaited *what) noexcept nogil
    void (*disarm)(const awaited *what) noexcept nogil
    # For a wait that one other thread has to end; see `_core/deadlock.pxd`. NULL: nobody knows which thread that is.
    const atomic_ulong *other
    bint (*is_over)(const void *context) noexcept nogil
    bint is_certain


# Sleep until what is waited for is there (True) or the deadline has passed. Releases the GIL, if this thread has it.
# Raises what signal handlers raise, and a RuntimeError where the other thread waits for this one.
cdef bint wait_for(Parking parking, const awaited *what, long long deadline) except -1 nogil

# Ask for a wake by the descriptor of a parking that an event loop listens to. True: what is waited for is there
# already, so no wake will come.
cdef bint arm_wake(const awaited *what) noexcept nogil

# A timeout in seconds as a deadline: NO_WAIT for 0, and FOREVER for None.
cdef long long deadline_of(object timeout) except -1
cdef enum:
    NO_WAIT = 0
cdef long long FOREVER
cdef object ZERO  # the int 0, of which Python has one


cdef inline long long deadline_of_pop(object timeout) except -1:
    """`deadline_of` for calls whose default is 0, which is found by its address: a pop is too short for more."""
    return NO_WAIT if timeout is ZERO else deadline_of(timeout)
