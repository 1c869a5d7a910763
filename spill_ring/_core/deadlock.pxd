"""Which thread waits for which, so that a wait that can never end is an error instead."""


cdef extern from * nogil:
    """
    #include <stdatomic.h>

    typedef struct sr_wait {
        unsigned long thread;
        const _Atomic unsigned long *other;
        int (*is_over)(const void *context);
        const void *context;
        int is_certain;
        struct sr_wait *next;
    } sr_wait;

    enum { SR_NO_CIRCLE, SR_CIRCLE, SR_POSSIBLE_CIRCLE };
    """
    ctypedef unsigned long atomic_ulong "_Atomic unsigned long"
    # A wait that has no deadline. It lies where the waiting thread keeps it, and that until `end_wait`.
    ctypedef struct sr_wait:
        unsigned long thread  # the one that waits
        const atomic_ulong *other  # the one that it waits for; 0: there is none at the moment
        # Was it ended, and the thread has yet to notice? Any thread may ask. NULL: `other` tells.
        bint (*is_over)(const void *context) noexcept nogil
        const void *context
        bint is_certain  # nobody but the other thread can end it
    enum:
        SR_NO_CIRCLE
        SR_CIRCLE
        SR_POSSIBLE_CIRCLE  # somebody else could still end one of the waits


# Note that this thread begins to wait.
cdef void begin_wait(sr_wait *wait) noexcept nogil
cdef void end_wait(sr_wait *wait) noexcept nogil
# Does the other thread wait for this one, by whatever threads lie between the two? Ask after `begin_wait`.
cdef int find_circle(const sr_wait *wait) noexcept nogil
cdef int raise_circle() except -1 with gil
