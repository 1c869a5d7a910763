/* A lock-free ring between one producer and one consumer that evicts its oldest items instead of blocking.
 *
 * This is freestanding C11: it needs no libc but memcpy, allocates nothing and takes no lock. The caller provides the
 * memory and the sink. Each function belongs to one side. At any time at most one thread (or interrupt handler) may
 * be on the producer's side, and at most one on the consumer's. The two sides never wait for each other.
 *
 * Positions count items since the beginning. The item at position p lies in slot p % physical.
 *
 *     finished <= ... <= head <= tail
 *
 *   tail      is written by the producer only. The items below it are written.
 *   head      is moved by either side. A compare-and-swap from the old head to the new one claims the oldest items,
 *             those between the two: the consumer claims them in order to pop them, the producer in order to evict
 *             them. The side that wins owns them, and may read them with a plain memcpy. In a ring that refuses new
 *             items instead of evicting old ones, the head is the consumer's alone, and a plain store moves it.
 *   finished  is written by the consumer only. It counts the items that the consumer has claimed and copied.
 *
 * Why this is enough. A slot has one owner at a time: the producer until it publishes the tail, then nobody until a
 * claim, then the side that claimed the slot until that side has finished with it.
 *
 *   Reading. The consumer claims items below a tail that it loaded with acquire (R1). This load pairs with the
 *   producer's release (W1), so everything that the consumer claims is written. The producer may evict and overwrite
 *   these items between that load and the claim. But then the head has moved, and the claim fails, because a
 *   compare-and-swap sees the newest value. So a claim itself need not order anything, and every access to the head
 *   is relaxed. The producer needs no order for the items that it evicts, because it wrote them itself.
 *
 *   Writing. Position p reuses the slot of position p - physical. So the producer must know that the older item was
 *   claimed, and that the side that claimed it has finished. The producer knows its own claims. All other claims
 *   below the head are the consumer's: n_claimed = head - evicted. The consumer finishes its claims in order. So once
 *   `finished` has reached n_claimed, all slots below that head are free. The producer loads `finished` with acquire
 *   (R2), which pairs with the consumer's release after its copy (W2). While the consumer is in the middle of a copy,
 *   `finished` has not reached n_claimed. Then the producer uses a snapshot that it took earlier (`snapshot_head`,
 *   `snapshot_n_claimed`). That one is reached as soon as the consumer has finished the claim that was open then.
 *
 *   Not waiting. physical >= 2 * capacity leaves slots to write to while the consumer is in the middle of a copy. If
 *   the producer needs the slots of a stalled consumer all the same, it evicts all resident items and forwards its
 *   new items straight to the sink. Nothing is lost, the order holds, and the producer never blocks. In this case,
 *   and in no other, the ring holds fewer items than fit. It needs more than physical - capacity items to be pushed
 *   during one claim of the consumer. A claim of the producer fails only if the consumer has claimed some of the
 *   resident items in the meantime, so it fails at most as often as there are resident items: a push is wait-free.
 *
 *   The end. The consumer loads `closed` with acquire (R3), which pairs with the producer's release (W3). So a tail
 *   that is loaded after that is the last one.
 *
 * x86 orders plain loads and stores like acquire and release. So there a missing order shows only where the compiler
 * makes use of it. tests/core/ shows that each of the six orders is needed: ThreadSanitizer notices when W1, R1, W2
 * or R2 is missing, and a model that allows every reordering of C11 notices all six. W3 and R3 guard no plain memory,
 * so nothing that runs on x86 can show that one of them is missing.
 *
 * Width. Positions have 64 bits where a pointer has 64 bits, and then they never wrap. Elsewhere, on a
 * microcontroller without 64-bit atomics, they have 32 bits and wrap. This works because the difference of two
 * positions stays right up to 2^31 items. So on such a machine neither side trusts a value of the other side that it
 * loaded long ago. A claim can go wrong only if the consumer sleeps in the middle of it, between its loads and the
 * compare-and-swap, while 2^31 items are pushed.
 */
#ifndef SPILL_RING_SPSC_H
#define SPILL_RING_SPSC_H

#include "portable.h" /* it lies beside this header */

/* A sink takes `count` contiguous items, oldest first, and adds to `taken` as it takes them. It takes all of them and
 * returns SR_DONE, or it returns an error, a negative number, which the ring passes on to its caller. */
typedef int (*sr_sink)(void *context, const void *items, size_t count, size_t *taken);

/* Wakes a side that waits; see "waiting" below. */
typedef void (*sr_wake)(void *context);

enum { SR_DONE = 0, SR_FULL = 1 }; /* negative numbers are the errors of sinks */

/* A side that sleeps until a count reaches `wanted`. The sleeper writes both atomics, and the other side reads them. */
typedef struct {
    _Atomic int is_waiting;
    _Atomic sr_index wanted;
    void *context;
} sr_waiter;

typedef struct {
    /* These are set before both sides begin, and after that they are only read. */
    _Alignas(SR_CACHE_LINE) unsigned char *items;
    size_t itemsize;
    sr_index capacity, mask;
    sr_index evict_block; /* the least number of items evicted at once; 1 keeps the capacity exact */
    int evicts; /* true: a push into a full ring evicts. False: it is refused, and the head is the consumer's alone */
    const int *is_mirrored; /* points to true where the same memory is mapped once more behind its end */
    sr_sink sink; /* NULL: evicted items are dropped */
    void *sink_context;
    sr_wake wake; /* NULL: no side ever waits */

    /* The producer writes these. Other threads read only the atomic ones. */
    _Alignas(SR_CACHE_LINE) _Atomic sr_index tail;
    sr_index limit; /* the producer may write below this without looking at the consumer */
    sr_index safe; /* all slots of positions below this may be reused */
    sr_index snapshot_head, snapshot_n_claimed;
    sr_index pending, pending_count; /* evicted items that the sink has not taken yet */
    _Atomic sr_index evicted; /* the number of items that were evicted and have left the ring */
    _Atomic int closed;

    /* The head is written by both sides, `finished` by the consumer. The producer reads the two together. */
    _Alignas(SR_CACHE_LINE) _Atomic sr_index head;
    _Atomic sr_index finished;

    /* The consumer writes these. Other threads read only the atomic ones. */
    _Alignas(SR_CACHE_LINE) sr_index seen_tail;
    sr_index claimed, claimed_count; /* claimed items that are not finished yet */
    _Atomic sr_index drained, cleared; /* of the finished items: how many a sink took, how many were dropped */

    /* Both sides write these, but rarely. */
    _Alignas(SR_CACHE_LINE) sr_waiter consumer;
    sr_waiter producer;
} sr_spsc;

/* `items` points to `physical` slots of `itemsize` bytes. `physical` is a power of two, at least `capacity` and better
 * twice that. All other fields become zero, and may be set before the first push. */
static inline void sr_spsc_init(sr_spsc *ring, void *items, size_t itemsize, size_t capacity, size_t physical)
{
    static const sr_spsc empty;
    *ring = empty;
    ring->items = (unsigned char *)items;
    ring->itemsize = itemsize;
    ring->capacity = (sr_index)capacity;
    ring->mask = (sr_index)physical - 1;
    ring->evict_block = 1;
    ring->evicts = 1;
    ring->limit = ring->capacity;
}

/* -- memory -------------------------------------------------------------------------------------- */

static inline unsigned char *sr_slot(const sr_spsc *ring, sr_index position)
{
    return ring->items + (size_t)(position & ring->mask) * ring->itemsize;
}

/* How many of the `count` items that begin at a position are contiguous in memory. */
static inline sr_index sr_contiguous(const sr_spsc *ring, sr_index position, sr_index count)
{
    if (ring->is_mirrored != NULL && *ring->is_mirrored)
        return count;
    return sr_min(count, ring->mask + 1 - (position & ring->mask));
}

static inline void sr_write(sr_spsc *ring, sr_index position, const unsigned char *items, sr_index count)
{
    sr_index first = sr_contiguous(ring, position, count);
    SR_MEMCPY(sr_slot(ring, position), items, (size_t)first * ring->itemsize);
    if (!SR_LIKELY(first == count))
        SR_MEMCPY(ring->items, items + (size_t)first * ring->itemsize, (size_t)(count - first) * ring->itemsize);
}

static inline void sr_read(const sr_spsc *ring, sr_index position, unsigned char *out, sr_index count)
{
    sr_index first = sr_contiguous(ring, position, count);
    SR_MEMCPY(out, sr_slot(ring, position), (size_t)first * ring->itemsize);
    if (!SR_LIKELY(first == count))
        SR_MEMCPY(out + (size_t)first * ring->itemsize, ring->items, (size_t)(count - first) * ring->itemsize);
}

/* Send claimed items to a sink, in one call if they are contiguous. */
static inline int sr_send(const sr_spsc *ring, sr_sink sink, void *context, sr_index position, sr_index count,
                          size_t *taken)
{
    int error = SR_DONE;
    sr_index sent = 0;
    while (sent < count && error == SR_DONE) {
        sr_index piece = sr_contiguous(ring, position + sent, count - sent);
        size_t n_taken = 0;
        error = sink(context, sr_slot(ring, position + sent), (size_t)piece, &n_taken);
        sent += error == SR_DONE ? piece : (sr_index)n_taken;
    }
    *taken += (size_t)sent;
    return error;
}

/* -- waiting -------------------------------------------------------------------------------------
 *
 * No function of this header waits. A side that wants to sleep takes these steps:
 *
 *   1. It says what it waits for (sr_spsc_await_items, sr_spsc_await_room).
 *   2. It makes sure that either the other side has seen this request, or it will itself see what the other side did.
 *   3. It looks once more, and cancels the request (sr_cancel_wake) if it need not sleep any more.
 *   4. Otherwise it sleeps until `wake` is called.
 *
 * The second step takes a full barrier on both sides. The sleeper pays for both, so that waiting costs a push no more
 * than a load: the sleeper calls membarrier() on Linux; it does nothing where both sides run on one core; elsewhere
 * its sleep ends by itself after a while. So the accesses here are relaxed, and only the compiler must keep their
 * order. */

SR_NOINLINE static void sr_notify_slow(sr_spsc *ring, sr_waiter *waiter, sr_index reached)
{
    if ((sr_distance)(reached - sr_load(&waiter->wanted)) >= 0
        && atomic_exchange_explicit(&waiter->is_waiting, 0, memory_order_relaxed))
        ring->wake(waiter->context);
}

/* The caller's count has reached `reached`. Wake the other side if it waits for that. */
static inline void sr_notify(sr_spsc *ring, sr_waiter *waiter, sr_index reached)
{
    atomic_signal_fence(memory_order_seq_cst);
    if (!SR_LIKELY(!atomic_load_explicit(&waiter->is_waiting, memory_order_relaxed)))
        sr_notify_slow(ring, waiter, reached);
}

static inline void sr_request_wake(sr_waiter *waiter, sr_index wanted)
{
    sr_store(&waiter->wanted, wanted);
    atomic_store_explicit(&waiter->is_waiting, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void sr_cancel_wake(sr_waiter *waiter)
{
    atomic_store_explicit(&waiter->is_waiting, 0, memory_order_relaxed);
}

/* -- any thread ---------------------------------------------------------------------------------- */

/* These count items since the beginning: pushed = evicted + finished + the items in the ring. Some of the finished
 * items were drained and some cleared. Evicted items went to the sink, or were dropped if there is none. */
static inline sr_index sr_pushed(const sr_spsc *ring) { return sr_load(&ring->tail); }
static inline sr_index sr_evicted(const sr_spsc *ring) { return sr_load(&ring->evicted); }
static inline sr_index sr_finished(const sr_spsc *ring) { return sr_load(&ring->finished); }
static inline sr_index sr_drained(const sr_spsc *ring) { return sr_load(&ring->drained); }
static inline sr_index sr_cleared(const sr_spsc *ring) { return sr_load(&ring->cleared); }

/* How many items are in the ring, or in the middle of leaving it. The number is exact while both sides are still. It
 * exceeds the capacity only while the consumer has claimed items that it has not finished. */
static inline size_t sr_spsc_count(const sr_spsc *ring)
{
    sr_index gone = sr_finished(ring) + sr_evicted(ring);
    sr_distance count = (sr_distance)(sr_pushed(ring) - gone);
    return count < 0 ? 0 : (size_t)sr_min((sr_index)count, ring->mask + 1); /* the loads may be reordered */
}

static inline int sr_spsc_is_closed(const sr_spsc *ring)
{
    return atomic_load_explicit(&ring->closed, memory_order_acquire); /* R3, pairs with W3 */
}

/* -- the producer's side ------------------------------------------------------------------------- */

static inline void sr_publish(sr_spsc *ring, sr_index tail)
{
    atomic_store_explicit(&ring->tail, tail, memory_order_release); /* W1, pairs with R1 */
    sr_notify(ring, &ring->consumer, tail);
}

/* How many items may be written before another slot becomes free, at most the capacity. */
static inline sr_index sr_writable(const sr_spsc *ring)
{
    return sr_min(ring->safe + ring->mask + 1 - sr_load(&ring->tail), ring->capacity);
}

/* Look at what the consumer has done, and so find out how far the producer may write. Returns the head. This must not
 * be called while items are pending, because it takes all items below the head for the consumer's, or for gone. */
static inline sr_index sr_refresh_limit(sr_spsc *ring)
{
    sr_index head = sr_load(&ring->head), tail = sr_load(&ring->tail), resident = tail - head;
    sr_index n_claimed = head - sr_load(&ring->evicted);
    sr_index finished = atomic_load_explicit(&ring->finished, memory_order_acquire); /* R2, pairs with W2 */
    if ((sr_distance)(finished - n_claimed) >= 0)
        ring->safe = head;
    else if ((sr_distance)(finished - ring->snapshot_n_claimed) >= 0)
        ring->safe = ring->snapshot_head;
    else if (n_claimed != ring->snapshot_n_claimed)
        goto keep_snapshot; /* if each call took a newer one, `finished` might never reach any of them */
    /* If the consumer has claimed nothing since the old snapshot, `finished` reaches the new one at the same moment,
     * and the new one frees more slots. */
    ring->snapshot_head = head;
    ring->snapshot_n_claimed = n_claimed;
keep_snapshot:
    /* Forwarded items may have moved the tail far ahead of a stalled consumer; then nothing can be written. `safe`
     * must follow the tail, or it would seem to lie ahead of the tail once positions wrap. Moving `safe` does no
     * harm, because nobody will write below the tail. */
    if ((sr_distance)(tail - ring->safe - ring->mask) > 1)
        ring->safe = tail - ring->mask - 1;
    ring->limit = tail + sr_min(sr_writable(ring), ring->capacity - resident);
    return head;
}

/* Send the pending items to the sink. Items that the sink does not take return to the ring, as if they had never been
 * evicted. If the consumer has claimed newer items in the meantime, they stay pending, and go to the sink first. */
static inline int sr_deliver(sr_spsc *ring)
{
    size_t taken = 0;
    int error = SR_DONE;
    sr_index end = ring->pending + ring->pending_count;
    if (ring->sink != NULL)
        error = sr_send(ring, ring->sink, ring->sink_context, ring->pending, ring->pending_count, &taken);
    else
        taken = (size_t)ring->pending_count;
    ring->pending += (sr_index)taken;
    ring->pending_count -= (sr_index)taken;
    sr_store(&ring->evicted, sr_load(&ring->evicted) + (sr_index)taken);
    if (error != SR_DONE && ring->pending_count != 0
        && atomic_compare_exchange_strong_explicit(&ring->head, &end, ring->pending, memory_order_relaxed,
                                                   memory_order_relaxed)) {
        ring->pending_count = 0;
        /* The consumer may have looked while these items were not in the ring. */
        sr_notify(ring, &ring->consumer, sr_load(&ring->tail));
    }
    return error;
}

/* Evict `count` items from the head on. If the consumer was quicker, this does nothing, and then there is room. */
static inline int sr_evict(sr_spsc *ring, sr_index head, sr_index count)
{
    sr_index end = head + count;
    if (!atomic_compare_exchange_strong_explicit(&ring->head, &head, end, memory_order_relaxed,
                                                 memory_order_relaxed))
        return SR_DONE;
    ring->pending = end - count;
    ring->pending_count = count;
    return sr_deliver(ring);
}

/* Evict until there is room for `count` items, or for as many as possible. `n_free` becomes the number of items that
 * there is room for. If that is less than `count`, the ring is empty. */
static inline int sr_make_room(sr_spsc *ring, sr_index count, sr_index *n_free)
{
    sr_index tail = sr_load(&ring->tail);
    int error;
    if (ring->pending_count != 0 && (error = sr_deliver(ring)) != SR_DONE)
        return error;
    for (;;) {
        sr_index head = sr_refresh_limit(ring), resident = tail - head, fitting, excess;
        *n_free = ring->limit - tail;
        if (*n_free >= count)
            return SR_DONE;
        if (!ring->evicts)
            return SR_FULL;
        if (resident == 0)
            return SR_DONE;
        /* If the consumer is not in the middle of a copy, each evicted item frees its slot. */
        fitting = ring->safe == head ? ring->capacity : sr_writable(ring);
        excess = count <= fitting ? count - (ring->capacity - resident) : resident;
        if (excess < ring->evict_block)
            excess = ring->evict_block;
        if ((error = sr_evict(ring, head, sr_min(excess, resident))) != SR_DONE)
            return error;
    }
}

/* Forward new items that can't stay in the ring straight to the sink. The ring is empty. */
static inline int sr_forward(sr_spsc *ring, const unsigned char *items, sr_index count, size_t *taken)
{
    size_t n_taken = 0;
    int error = SR_DONE;
    sr_index tail;
    if (ring->sink != NULL)
        error = ring->sink(ring->sink_context, items, (size_t)count, &n_taken);
    if (error == SR_DONE)
        n_taken = (size_t)count;
    tail = sr_load(&ring->tail) + (sr_index)n_taken;
    sr_store(&ring->evicted, sr_load(&ring->evicted) + (sr_index)n_taken);
    /* Move the head before the tail. Until the tail follows, the consumer sees nothing to claim, and a claim based on
     * what it saw before fails. Nobody else moves the head of an empty ring. */
    sr_store(&ring->head, tail);
    ring->limit = tail;
    sr_publish(ring, tail);
    *taken += n_taken;
    return error;
}

SR_NOINLINE static int sr_push_slow(sr_spsc *ring, const unsigned char *items, sr_index count, size_t *taken)
{
    sr_index tail, n_free;
    int error;
    while ((error = sr_make_room(ring, count, &n_free)) == SR_DONE && n_free < count) {
        sr_index excess = count - n_free;
        size_t n_forwarded = 0;
        error = sr_forward(ring, items, excess, &n_forwarded);
        *taken += n_forwarded;
        if (error != SR_DONE)
            break;
        items += (size_t)excess * ring->itemsize;
        count = n_free;
    }
    if (error != SR_DONE)
        return error;
    tail = sr_load(&ring->tail);
    sr_write(ring, tail, items, count);
    sr_publish(ring, tail + count);
    *taken += (size_t)count;
    return SR_DONE;
}

/* Whether `count` items may be written without looking at the consumer. */
static inline int sr_spsc_has_room(const sr_spsc *ring, size_t count)
{
    return count <= (size_t)(ring->limit - sr_load(&ring->tail));
}

/* Push `count` items; `taken` grows by the number of items that were taken. Returns SR_DONE; or the sink's error; or
 * SR_FULL if the ring doesn't evict and has no room for all of them, and then it has taken none. */
static inline int sr_spsc_push(sr_spsc *ring, const void *items, size_t count, size_t *taken)
{
    sr_index tail = sr_load(&ring->tail);
    if (!SR_LIKELY(sr_spsc_has_room(ring, count)))
        return sr_push_slow(ring, (const unsigned char *)items, (sr_index)count, taken);
    sr_write(ring, tail, (const unsigned char *)items, (sr_index)count);
    sr_publish(ring, tail + (sr_index)count);
    *taken += count;
    return SR_DONE;
}

/* How many items, up to `count`, could be pushed without an eviction. */
static inline size_t sr_spsc_room(sr_spsc *ring, size_t count)
{
    size_t n_free;
    if (SR_LIKELY(sr_spsc_has_room(ring, count)))
        return count;
    if (ring->pending_count == 0)
        sr_refresh_limit(ring);
    n_free = (size_t)(ring->limit - sr_load(&ring->tail));
    return n_free < count ? n_free : count;
}

/* The slot of the next item, for a caller that knows that there is room. sr_spsc_commit pushes the item. */
static inline void *sr_next_slot(sr_spsc *ring)
{
    return sr_slot(ring, sr_load(&ring->tail));
}

/* Push as many of the first items as there is room for, and never evict. Returns how many. */
static inline size_t sr_spsc_try_push(sr_spsc *ring, const void *items, size_t count)
{
    sr_index tail = sr_load(&ring->tail);
    if ((count = sr_spsc_room(ring, count)) != 0) {
        sr_write(ring, tail, (const unsigned char *)items, (sr_index)count);
        sr_publish(ring, tail + (sr_index)count);
    }
    return count;
}

/* Make room for `count` items, at most the capacity, and tell where they go: the first `n_contiguous` of them to
 * `*dest`, the others to the start of the memory. Returns SR_DONE; or the sink's error; or SR_FULL, for one of two
 * reasons. If the ring doesn't evict, it has no room, and nothing has changed. If it evicts, a stalled consumer is in
 * the way, and all items that were resident have been evicted. */
static inline int sr_spsc_reserve(sr_spsc *ring, size_t count, void **dest, size_t *n_contiguous)
{
    sr_index tail = sr_load(&ring->tail);
    if (!SR_LIKELY(sr_spsc_has_room(ring, count))) {
        sr_index n_free;
        int error = sr_make_room(ring, (sr_index)count, &n_free);
        if (error != SR_DONE)
            return error;
        if (n_free < count)
            return SR_FULL;
    }
    *dest = sr_slot(ring, tail);
    *n_contiguous = (size_t)sr_contiguous(ring, tail, (sr_index)count);
    return SR_DONE;
}

/* Push the first `count` of the items that were written to the reserved slots. */
static inline void sr_spsc_commit(sr_spsc *ring, size_t count)
{
    sr_publish(ring, sr_load(&ring->tail) + (sr_index)count);
}

/* Send all resident items to the sink. Returns SR_DONE, or the sink's error; then the other items are still in the
 * ring. This is only for a ring that evicts. In any other ring the content is the consumer's (sr_spsc_drain). */
SR_NOINLINE static int sr_spsc_flush(sr_spsc *ring)
{
    int error;
    if (ring->pending_count != 0 && (error = sr_deliver(ring)) != SR_DONE)
        return error;
    for (;;) {
        sr_index head = sr_load(&ring->head), resident = sr_load(&ring->tail) - head;
        if (resident == 0)
            return SR_DONE;
        if ((error = sr_evict(ring, head, resident)) != SR_DONE)
            return error;
    }
}

/* End the stream. After this nothing may be pushed. Nor may anything be flushed, because a flush may return items to
 * the ring. */
static inline void sr_spsc_close(sr_spsc *ring)
{
    ring->limit = sr_load(&ring->tail); /* there is no room any more */
    atomic_store_explicit(&ring->closed, 1, memory_order_release); /* W3, pairs with R3 */
    atomic_signal_fence(memory_order_seq_cst); /* `wanted`, too, must be loaded after the store */
    sr_notify(ring, &ring->consumer, sr_load(&ring->consumer.wanted));
}

/* Call `wake` with the producer's context when there may be room for `count` items; see "waiting" above. */
static inline void sr_spsc_await_room(sr_spsc *ring, size_t count)
{
    sr_index finished = sr_load(&ring->finished);
    sr_index wanted = sr_load(&ring->tail) + (sr_index)count - ring->capacity - sr_load(&ring->evicted);
    if ((sr_distance)(wanted - finished) <= 0)
        wanted = finished + 1; /* the consumer is in the middle of copying all the items that the producer waits for */
    sr_request_wake(&ring->producer, wanted);
}

/* -- the consumer's side ------------------------------------------------------------------------- */

/* Claim up to `max` of the oldest items. Items that were claimed before and are not finished come first: then the
 * claim consists of those, at most `max`. */
static inline sr_index sr_claim(sr_spsc *ring, size_t max, int only_contiguous)
{
    sr_index head, count;
    if (ring->claimed_count != 0) {
        count = ring->claimed_count < max ? ring->claimed_count : (sr_index)max;
        return only_contiguous ? sr_contiguous(ring, ring->claimed, count) : count;
    }
    if (max == 0)
        return 0;
    head = sr_load(&ring->head);
    for (;;) {
        sr_distance available = (sr_distance)(ring->seen_tail - head);
        /* Where positions wrap, a tail that was loaded long ago may seem to lie ahead. */
        if (sizeof(sr_index) < 8 || available <= 0 || (size_t)available < max) {
            ring->seen_tail = atomic_load_explicit(&ring->tail, memory_order_acquire); /* R1, pairs with W1 */
            available = (sr_distance)(ring->seen_tail - head);
        }
        if (available <= 0)
            return 0;
        count = (size_t)available < max ? (sr_index)available : (sr_index)max;
        if (only_contiguous)
            count = sr_contiguous(ring, head, count);
        if (!ring->evicts) { /* then the head is the consumer's alone */
            sr_store(&ring->head, head + count);
            break;
        }
        if (SR_LIKELY(atomic_compare_exchange_weak_explicit(&ring->head, &head, head + count, memory_order_relaxed,
                                                            memory_order_relaxed)))
            break;
    }
    ring->claimed = head;
    ring->claimed_count = count;
    return count;
}

/* Finish the first `count` of the claimed items. */
static inline void sr_finish(sr_spsc *ring, sr_index count)
{
    sr_index finished = sr_load(&ring->finished) + count;
    ring->claimed += count;
    ring->claimed_count -= count;
    atomic_store_explicit(&ring->finished, finished, memory_order_release); /* W2, pairs with R2 */
    sr_notify(ring, &ring->producer, finished);
}

/* Claim up to `max` of the oldest items, as far as they are contiguous, to read them in place. Nobody writes to their
 * slots until they are released. Returns how many. */
static inline size_t sr_spsc_claim(sr_spsc *ring, size_t max, const void **items)
{
    sr_index count = sr_claim(ring, max, 1);
    *items = sr_slot(ring, ring->claimed);
    return (size_t)count;
}

/* Remove the first `count` of the claimed items. The others stay claimed, and come first in whatever the consumer
 * does next. */
static inline void sr_spsc_release(sr_spsc *ring, size_t count)
{
    sr_finish(ring, (sr_index)count);
}

/* Copy up to `max` of the oldest items to `out` and remove them: those that are claimed already, and then those of
 * one more claim. Returns how many. */
static inline size_t sr_spsc_pop(sr_spsc *ring, void *out, size_t max)
{
    int had_claim = ring->claimed_count != 0;
    size_t count = (size_t)sr_claim(ring, max, 0);
    if (count == 0)
        return 0;
    sr_read(ring, ring->claimed, (unsigned char *)out, (sr_index)count);
    sr_finish(ring, (sr_index)count);
    if (!SR_LIKELY(!had_claim) && count < max)
        return count + sr_spsc_pop(ring, (unsigned char *)out + count * ring->itemsize, max - count);
    return count;
}

/* Move up to `max` items into a sink: those that are claimed already, and then those of one more claim. Returns
 * SR_DONE, or the sink's error; then the items that the sink didn't take stay claimed. */
SR_NOINLINE static int sr_spsc_drain(sr_spsc *ring, size_t max, sr_sink sink, void *context)
{
    int error = SR_DONE, had_claim;
    do {
        size_t taken = 0;
        sr_index count;
        had_claim = ring->claimed_count != 0;
        count = sr_claim(ring, max, 0);
        if (count == 0)
            break;
        max -= (size_t)count;
        error = sr_send(ring, sink, context, ring->claimed, count, &taken);
        sr_store(&ring->drained, sr_load(&ring->drained) + (sr_index)taken);
        sr_finish(ring, (sr_index)taken);
    } while (had_claim && error == SR_DONE);
    return error;
}

/* Drop up to `max` items: those that are claimed already, and then all others. */
static inline void sr_spsc_clear(sr_spsc *ring, size_t max)
{
    sr_index count;
    while ((count = sr_claim(ring, max, 0)) != 0) {
        max -= (size_t)count;
        sr_store(&ring->cleared, sr_load(&ring->cleared) + count);
        sr_finish(ring, count);
    }
}

/* How many items the consumer can have now. */
static inline size_t sr_spsc_available(const sr_spsc *ring)
{
    sr_index head = sr_load(&ring->head);
    sr_distance available = (sr_distance)(sr_load(&ring->tail) - head);
    return (size_t)ring->claimed_count + (available > 0 ? (size_t)available : 0);
}

/* Whether the ring is closed and all its items were removed, so that nothing will ever come again. Either side may
 * ask. So this doesn't look at `claimed_count`, which is the consumer's own, and which the consumer sets only after a
 * claim has moved the head. */
static inline int sr_spsc_has_ended(const sr_spsc *ring)
{
    return sr_spsc_is_closed(ring) && sr_spsc_count(ring) == 0;
}

/* Call `wake` with the consumer's context when `count` items are there; see "waiting" above. */
static inline void sr_spsc_await_items(sr_spsc *ring, size_t count)
{
    /* This doesn't count from the head, because the head moves back when a sink fails. */
    sr_request_wake(&ring->consumer, sr_load(&ring->finished) + sr_load(&ring->evicted) + (sr_index)count);
}

#endif
