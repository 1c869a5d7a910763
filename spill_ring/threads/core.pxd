"""The C core of rings between two threads, `spill_ring/spsc.h`, and the state that a ring in Python adds to it."""
from spill_ring._core.deadlock cimport atomic_ulong
from spill_ring._core.guard cimport SR_BUSY, SR_FORKED, sr_state_cas


cdef extern from "spill_ring/spsc.h" nogil:
    ctypedef unsigned long long sr_index
    ctypedef int (*sr_sink)(void *context, const void *items, size_t count, size_t *taken) except -1 nogil
    ctypedef void (*sr_wake)(void *context) noexcept nogil
    ctypedef struct sr_waiter:
        void *context
    ctypedef struct sr_spsc:
        unsigned char *items
        size_t itemsize
        sr_index capacity, mask, limit, evict_block, claimed, claimed_count, pending, pending_count
        int evicts
        const int *is_mirrored
        sr_sink sink
        void *sink_context
        sr_wake wake
        sr_waiter consumer, producer
    enum:
        SR_FULL
        SR_CACHE_LINE
    void sr_relax()
    void sr_spsc_init(sr_spsc *ring, void *items, size_t itemsize, size_t capacity, size_t physical)
    void *sr_slot(const sr_spsc *ring, sr_index position)
    size_t sr_spsc_count(const sr_spsc *ring)
    bint sr_spsc_is_closed(const sr_spsc *ring)
    # These are the producer's.
    bint sr_spsc_has_room(const sr_spsc *ring, size_t count)
    int sr_spsc_push(sr_spsc *ring, const void *items, size_t count, size_t *taken) except -1
    size_t sr_spsc_room(sr_spsc *ring, size_t count)
    size_t sr_spsc_try_push(sr_spsc *ring, const void *items, size_t count)
    int sr_spsc_reserve(sr_spsc *ring, size_t count, void **dest, size_t *n_contiguous) except -1
    void sr_publish(sr_spsc *ring, sr_index tail)
    void sr_spsc_commit(sr_spsc *ring, size_t count)
    int sr_spsc_flush(sr_spsc *ring) except -1
    int sr_deliver(sr_spsc *ring) except -1
    void sr_spsc_close(sr_spsc *ring)
    void sr_spsc_await_room(sr_spsc *ring, size_t count)
    void *sr_next_slot(sr_spsc *ring)
    # These are the consumer's.
    sr_index sr_claim(sr_spsc *ring, size_t max, bint only_contiguous)
    void sr_finish(sr_spsc *ring, sr_index count)
    size_t sr_spsc_claim(sr_spsc *ring, size_t max, const void **items)
    void sr_spsc_release(sr_spsc *ring, size_t count)
    size_t sr_spsc_pop(sr_spsc *ring, void *out, size_t max)
    int sr_spsc_drain(sr_spsc *ring, size_t max, sr_sink sink, void *context) except -1
    void sr_spsc_clear(sr_spsc *ring, size_t max)
    size_t sr_spsc_available(const sr_spsc *ring)
    bint sr_spsc_has_ended(const sr_spsc *ring)
    void sr_spsc_await_items(sr_spsc *ring, size_t count)
    void sr_cancel_wake(sr_waiter *waiter)
    # Any thread may read these counts.
    sr_index sr_pushed(const sr_spsc *ring)
    sr_index sr_evicted(const sr_spsc *ring)
    sr_index sr_finished(const sr_spsc *ring)
    sr_index sr_drained(const sr_spsc *ring)
    sr_index sr_cleared(const sr_spsc *ring)


cdef extern from * nogil:
    """
    /* `state` is one of `guard`'s states. `thread` is the thread that is in a call from this side which may run
     * Python, and so may fork; 0 if there is none. That thread writes it. It is read only in a forked child, which
     * has no other thread. */
    typedef struct {
        int state;
        unsigned long thread;
    } sr_side;

    /* The thread that took last. Both sides read it, and it is rarely written, so it has a cache line of its own. */
    typedef struct sr_taker {
        _Atomic unsigned long thread; /* 0: nobody took yet, or the thread has ended */
        _Atomic int has_ended; /* the thread that took last */
        _Atomic int is_abandoned; /* `abandon` was called */
        sr_spsc *core; /* the ring, to wake its producer */
        struct sr_taker *next; /* in the list of taker.h */
    } sr_taker;

    typedef struct {
        sr_spsc core;
        _Alignas(SR_CACHE_LINE) sr_taker taker;
        _Alignas(SR_CACHE_LINE) sr_side consumer; /* the producer writes to no field on this cache line */
        void *ring; /* the SpscRing itself, and its sink: borrowed references */
        void *sink; /* NULL: evicted items are dropped */
        int sink_state; /* SR_CLOSED once the sink was released, since nothing more can come */
    } sr_spsc_state;
    """
    ctypedef int atomic_int "_Atomic int"
    ctypedef struct sr_side:
        int state
        unsigned long thread
    ctypedef struct sr_taker:
        atomic_ulong thread
        atomic_int has_ended, is_abandoned
        sr_spsc *core
    ctypedef struct sr_spsc_state:
        sr_spsc core
        sr_taker taker
        sr_side consumer
        void *ring
        void *sink
        int sink_state


cdef inline bint adopt_fork(int *state, int found) noexcept nogil:
    """Enter a side that was reserved as the process forked: the thread that reserved it is not in the child."""
    return found == SR_FORKED and sr_state_cas(state, SR_FORKED, SR_BUSY) == SR_FORKED
