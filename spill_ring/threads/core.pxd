"""The C core of rings between two threads, `spill_ring/spsc.h`, and what a ring in Python adds to its memory."""


cdef extern from "spill_ring/spsc.h" nogil:
    ctypedef unsigned long long sr_index
    ctypedef int (*sr_sink)(void *context, const void *items, size_t count, size_t *taken) except -1 nogil
    ctypedef void (*sr_wake)(void *context) noexcept nogil
    ctypedef struct sr_waiter:
        void *context
    ctypedef struct sr_spsc:
        unsigned char *items
        size_t itemsize
        sr_index capacity, mask, limit, evict_block, held, held_count, pending, pending_count
        int evicts
        const int *is_mirrored
        sr_sink sink
        void *sink_context
        sr_wake wake
        sr_waiter consumer, producer
    enum:
        SR_FULL
        SR_LINE
    void sr_relax()
    void sr_spsc_init(sr_spsc *ring, void *items, size_t itemsize, size_t capacity, size_t physical)
    void *sr_slot(const sr_spsc *ring, sr_index position)
    size_t sr_spsc_count(const sr_spsc *ring)
    bint sr_spsc_is_closed(const sr_spsc *ring)
    # the producer's
    bint sr_spsc_has_room(const sr_spsc *ring, size_t count)
    int sr_spsc_push(sr_spsc *ring, const void *items, size_t count, size_t *taken) except -1
    size_t sr_spsc_room(sr_spsc *ring, size_t count)
    size_t sr_spsc_try_push(sr_spsc *ring, const void *items, size_t count)
    int sr_spsc_reserve(sr_spsc *ring, size_t count, void **room, size_t *in_a_row) except -1
    void sr_publish(sr_spsc *ring, sr_index tail)
    void sr_spsc_commit(sr_spsc *ring, size_t count)
    int sr_spsc_flush(sr_spsc *ring) except -1
    int sr_deliver(sr_spsc *ring) except -1
    void sr_spsc_close(sr_spsc *ring)
    void sr_spsc_await_room(sr_spsc *ring, size_t count)
    void *sr_next(sr_spsc *ring)
    # the consumer's
    sr_index sr_claim(sr_spsc *ring, size_t max, bint in_a_row)
    void sr_finish(sr_spsc *ring, sr_index count)
    size_t sr_spsc_claim(sr_spsc *ring, size_t max, const void **items)
    void sr_spsc_release(sr_spsc *ring, size_t count)
    size_t sr_spsc_pop(sr_spsc *ring, void *out, size_t max)
    int sr_spsc_drain(sr_spsc *ring, size_t max, sr_sink sink, void *context) except -1
    void sr_spsc_clear(sr_spsc *ring, size_t max)
    size_t sr_spsc_available(const sr_spsc *ring)
    bint sr_spsc_has_ended(const sr_spsc *ring)
    void sr_spsc_await_items(sr_spsc *ring, size_t count)
    void sr_await_no_more(sr_waiter *waiter)
    # the counts that others may read
    sr_index sr_pushed(const sr_spsc *ring)
    sr_index sr_evicted(const sr_spsc *ring)
    sr_index sr_finished(const sr_spsc *ring)
    sr_index sr_drained(const sr_spsc *ring)
    sr_index sr_cleared(const sr_spsc *ring)


cdef extern from * nogil:
    """
    /* A side's state is `guard`'s. `thread` is who is in a call out of that side that may run Python, and so
     * fork; 0: nobody. It is written by that thread, and read only in a forked child, which is alone. */
    typedef struct {
        int state;
        unsigned long thread;
    } sr_side;

    typedef struct {
        sr_spsc core;
        _Alignas(SR_LINE) sr_side consumer; /* not on a line that the producer writes */
    } sr_shared;
    """
    ctypedef struct sr_side:
        int state
        unsigned long thread
    ctypedef struct sr_shared:
        sr_spsc core
        sr_side consumer
