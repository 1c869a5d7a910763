/* A lock-free ring between one producer and one consumer that evicts instead of blocking.
 *
 * Freestanding C11: no libc but memcpy, no allocation, no lock. The caller gives the memory and the
 * sink. Each function belongs to one side: at any time at most one thread (or interrupt handler) may be
 * on the producer's side and one on the consumer's. The two sides never wait for each other.
 *
 * Positions count items since the beginning; item p lies in slot p % physical.
 *
 *     finished <= ... <= head <= tail
 *
 *   tail      written by the producer alone: items below it are written.
 *   head      moved by either side, with a compare-and-swap that claims the run of oldest items from the
 *             old head to the new one: by the consumer to pop it, by the producer to evict it.
 *             Whoever wins owns the run, and may read it with a plain memcpy. In a ring that refuses
 *             instead of evicting it is the consumer's alone, and a plain store moves it.
 *   finished  written by the consumer alone: how many items it has claimed and copied.
 *
 * Why this is enough. A slot has one owner at a time: the producer until it publishes the tail, then
 * nobody until a claim, then the claimer until it is through.
 *
 *   Reading. The consumer claims below a tail that it loaded with acquire (R1), which pairs with the
 *   producer's release (W1), so all that it claims is written. It may be that the producer evicts
 *   and overwrites the items between that load and the claim; then the head has moved, and the
 *   claim fails, since a compare-and-swap sees the newest value. So a claim itself orders nothing,
 *   and every access of the head is relaxed. The producer evicts what it wrote itself.
 *
 *   Writing. Position p goes where p - physical was, so the producer must know that that one was claimed,
 *   and that its claimer is through. It knows its own claims. What the head shows beyond them is the
 *   consumer's: claimed = head - evicted. Claims are finished in order, so once `finished`, loaded with
 *   acquire (R2) against the consumer's release after its copy (W2), has reached that number, all
 *   below that head is free. While the consumer is in the middle of a copy it has not: then the
 *   look before counts (`snapshot_head`, `snapshot_n_claimed`), which one store of the consumer's after it
 *   satisfies.
 *
 *   Not waiting. physical >= 2 * capacity leaves room to write beside a consumer in the middle of a copy. If a
 *   stalled one's slots are needed all the same, the producer evicts all that is resident and passes its new
 *   items straight to the sink. Nothing is lost, order holds, and the producer never blocks; then,
 *   and only then, the ring holds fewer items than fit: not before more than physical - capacity items are pushed
 *   during one claim of the consumer. A claim of the producer fails only if the consumer claimed some of the
 *   resident items meanwhile, so at most as often as there are such: a push is wait-free.
 *
 *   The end. The consumer loads `closed` with acquire (R3) against the producer's release (W3), so that a
 *   tail loaded after it is the last one.
 *
 * x86 orders plain loads and stores like acquire and release, so there a missing order shows only where
 * the compiler makes use of it. tests/core/ has what shows each of the six: ThreadSanitizer
 * (W1, R1, W2, R2), and a model that allows every reordering of C11 (all six; W3 and R3 guard no plain
 * memory, so nothing that runs on x86 can show them).
 *
 * Width. Positions have 64 bits where a pointer has, and never wrap. Elsewhere, on a microcontroller without
 * 64-bit atomics, they have 32 and wrap, as the difference of two stays right up to 2^31 items. So neither side
 * trusts there what it saw of the other long ago; a claim can go wrong only if the consumer sleeps in
 * the middle of it, between its looks and the compare-and-swap, for 2^31 pushes.
 */
#ifndef SPILL_RING_SPSC_H
#define SPILL_RING_SPSC_H

#ifdef __cplusplus
#error "spsc.h is C11: compile what uses it as C"
#endif

#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SR_LIKELY(x) __builtin_expect(!!(x), 1)
#define SR_NOINLINE __attribute__((noinline, unused))
#define SR_MEMCPY __builtin_memcpy /* memcpy, without a hosted header to declare it */
#else
#include <string.h>
#if defined(_MSC_VER)
#include <intrin.h>
#endif
#define SR_LIKELY(x) (x)
#define SR_NOINLINE
#define SR_MEMCPY memcpy
#endif

/* What one core writes and another reads lies on lines of its own: 128 bytes, since the prefetchers fetch
 * lines of 64 in pairs. A core without caches can do with less. */
#ifndef SR_CACHE_LINE
#if UINTPTR_MAX > 0xffffffffu
#define SR_CACHE_LINE 128
#else
#define SR_CACHE_LINE 8
#endif
#endif

#if UINTPTR_MAX > 0xffffffffu
typedef uint64_t sr_index;
typedef int64_t sr_distance;
#else
typedef uint32_t sr_index;
typedef int32_t sr_distance;
#endif

/* Takes `count` items in a row, oldest first, and adds to `taken` as it does: all of them, unless it returns an
 * error, a negative number, which the caller of the ring gets. */
typedef int (*sr_sink)(void *context, const void *items, size_t count, size_t *taken);

/* Wakes a side that waits; see sr_spsc_await_items. */
typedef void (*sr_wake)(void *context);

enum { SR_DONE = 0, SR_FULL = 1 }; /* and the negative numbers of sinks */

/* A side that sleeps until a count reaches `wanted`. The sleeper writes both, the other side looks. */
typedef struct {
    _Atomic int is_waiting;
    _Atomic sr_index wanted;
    void *context;
} sr_waiter;

typedef struct {
    /* Set before both sides begin, and then only read. */
    _Alignas(SR_CACHE_LINE) unsigned char *items;
    size_t itemsize;
    sr_index capacity, mask;
    sr_index evict_block; /* items evicted at once, at least; 1 keeps the capacity exact */
    int evicts; /* a push into a full ring evicts; else it is refused, and the head is the consumer's alone */
    const int *is_mirrored; /* points to true: the memory's first half goes on in a second one */
    sr_sink sink; /* NULL: what is evicted is dropped */
    void *sink_context;
    sr_wake wake; /* NULL: nobody ever waits */

    /* The producer's. Others read the atomic ones. */
    _Alignas(SR_CACHE_LINE) _Atomic sr_index tail;
    sr_index limit; /* may write below, without a look */
    sr_index safe; /* all below is free to be written over */
    sr_index snapshot_head, snapshot_n_claimed;
    sr_index pending, pending_count; /* evicted, and not taken by the sink yet */
    _Atomic sr_index evicted; /* evicted, and gone */
    _Atomic int closed;

    /* Both sides', and the consumer's, which the producer looks at together. */
    _Alignas(SR_CACHE_LINE) _Atomic sr_index head;
    _Atomic sr_index finished;

    /* The consumer's own. Others read the atomic ones. */
    _Alignas(SR_CACHE_LINE) sr_index seen_tail;
    sr_index claimed, claimed_count; /* claimed, and not finished yet */
    _Atomic sr_index drained, cleared; /* of those finished: what a sink took, what was dropped */

    /* Both sides', rarely written. */
    _Alignas(SR_CACHE_LINE) sr_waiter consumer;
    sr_waiter producer;
} sr_spsc;

static inline sr_index sr_load(const _Atomic sr_index *index)
{
    return atomic_load_explicit(index, memory_order_relaxed);
}

static inline void sr_store(_Atomic sr_index *index, sr_index value)
{
    atomic_store_explicit(index, value, memory_order_relaxed);
}

static inline sr_index sr_min(sr_index a, sr_index b)
{
    return a < b ? a : b;
}

/* `physical` slots of `itemsize` bytes at `items`: a power of two, at least `capacity`, and better twice that.
 * The rest is zero, and may be set before the first push. */
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

/* How many of `count` items from a position on lie in a row. */
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

/* Send a claimed run, in one call where it lies in a row. */
static inline int sr_send(const sr_spsc *ring, sr_sink sink, void *context, sr_index position, sr_index count,
                          size_t *taken)
{
    int error = SR_DONE;
    sr_index sent = 0;
    while (sent < count && error == SR_DONE) {
        sr_index piece = sr_contiguous(ring, position + sent, count - sent);
        size_t took = 0;
        error = sink(context, sr_slot(ring, position + sent), (size_t)piece, &took);
        sent += error == SR_DONE ? piece : (sr_index)took;
    }
    *taken += (size_t)sent;
    return error;
}

/* -- waiting -------------------------------------------------------------------------------------
 *
 * Nobody waits in here. A side that wants to sleep says what it waits for (sr_spsc_await_items,
 * sr_spsc_await_room), then makes sure that the other side has seen that or it will see what the other side
 * did, then looks once more, then sleeps until `wake` is called. That "makes sure" is a full barrier on both sides; the
 * sleeper pays for both, so that a push costs no more than a load: membarrier() on Linux, nothing where
 * both sides run on one core, elsewhere a sleep that ends by itself after a while.
 * So the accesses here are relaxed, and only the compiler is held to their order. */

SR_NOINLINE static void sr_notify_slow(sr_spsc *ring, sr_waiter *waiter, sr_index reached)
{
    if ((sr_distance)(reached - sr_load(&waiter->wanted)) >= 0
        && atomic_exchange_explicit(&waiter->is_waiting, 0, memory_order_relaxed))
        ring->wake(waiter->context);
}

/* The side's count has reached `reached`: wake the other one, if that is what it waits for. */
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

/* For a loop that tries again and again: once each time that nothing was there, or no room. Every look takes the line
 * from the side that writes to it, and a moment without one lets that side go on: where both loops do this, single
 * items come two to three times as fast. About a microsecond. */
static inline void sr_relax(void)
{
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__) || defined(__aarch64__))
    int i;
    for (i = 0; i < 64; i++)
#if defined(__aarch64__)
        __asm__ volatile("yield");
#else
        __builtin_ia32_pause();
#endif
#elif defined(_MSC_VER)
    int i;
    for (i = 0; i < 64; i++)
#if defined(_M_ARM64)
        __yield();
#else
        _mm_pause();
#endif
#endif
}

/* -- any thread ---------------------------------------------------------------------------------- */

/* Counts since the beginning: pushed = evicted + finished + what is in the ring, and of those finished some were
 * drained and some cleared. What was evicted went to the sink, or was dropped if there is none. */
static inline sr_index sr_pushed(const sr_spsc *ring) { return sr_load(&ring->tail); }
static inline sr_index sr_evicted(const sr_spsc *ring) { return sr_load(&ring->evicted); }
static inline sr_index sr_finished(const sr_spsc *ring) { return sr_load(&ring->finished); }
static inline sr_index sr_drained(const sr_spsc *ring) { return sr_load(&ring->drained); }
static inline sr_index sr_cleared(const sr_spsc *ring) { return sr_load(&ring->cleared); }

/* Items that are in the ring, or in the middle of leaving it; exact while both sides are still. More than the capacity
 * only while the consumer holds a claim. */
static inline size_t sr_spsc_count(const sr_spsc *ring)
{
    sr_index gone = sr_finished(ring) + sr_evicted(ring);
    sr_distance count = (sr_distance)(sr_pushed(ring) - gone);
    return count < 0 ? 0 : (size_t)sr_min((sr_index)count, ring->mask + 1); /* loads may be reordered */
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

/* Items that may be written before anything else is free, as far as they fit. */
static inline sr_index sr_writable(const sr_spsc *ring)
{
    return sr_min(ring->safe + ring->mask + 1 - sr_load(&ring->tail), ring->capacity);
}

/* See what the consumer has done, and so how far may be written. Returns the head. Not while anything is
 * pending, since what is below the head is taken to be the consumer's or gone. */
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
        goto looked; /* keep the old look: a newer one would never be satisfied if this is repeated */
    /* With nothing claimed since the old look, what satisfies that satisfies the new one, which frees more. */
    ring->snapshot_head = head;
    ring->snapshot_n_claimed = n_claimed;
looked:
    /* Where the tail ran ahead of a stalled consumer as items were passed on, nothing can be written. `safe` is taken
     * along there, lest it seem to lie ahead once positions wrap: nobody will write below the tail. */
    if ((sr_distance)(tail - ring->safe - ring->mask) > 1)
        ring->safe = tail - ring->mask - 1;
    ring->limit = tail + sr_min(sr_writable(ring), ring->capacity - resident);
    return head;
}

/* Send on what was evicted. What the sink doesn't take goes back into the ring, as if it had never been evicted;
 * if the consumer has claimed newer items meanwhile, it stays pending, and goes to the sink first. */
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
        sr_notify(ring, &ring->consumer, sr_load(&ring->tail)); /* it may have looked while they were gone */
    }
    return error;
}

/* Evict `count` from the head on. Does nothing if the consumer was quicker: then there is room. */
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

/* Make room for `count` items, or for as many as fit, by evicting. `room` says how many there is room for;
 * if that is fewer, the ring is empty. */
static inline int sr_make_room(sr_spsc *ring, sr_index count, sr_index *room)
{
    sr_index tail = sr_load(&ring->tail);
    int error;
    if (ring->pending_count != 0 && (error = sr_deliver(ring)) != SR_DONE)
        return error;
    for (;;) {
        sr_index head = sr_refresh_limit(ring), resident = tail - head, fitting, excess;
        *room = ring->limit - tail;
        if (*room >= count)
            return SR_DONE;
        if (!ring->evicts)
            return SR_FULL;
        if (resident == 0)
            return SR_DONE;
        fitting = ring->safe == head ? ring->capacity : sr_writable(ring); /* nobody reads: what goes makes room */
        excess = count <= fitting ? count - (ring->capacity - resident) : resident;
        if (excess < ring->evict_block)
            excess = ring->evict_block;
        if ((error = sr_evict(ring, head, sr_min(excess, resident))) != SR_DONE)
            return error;
    }
}

/* What can't stay goes straight to the sink. The ring is empty. */
static inline int sr_forward(sr_spsc *ring, const unsigned char *items, sr_index count, size_t *taken)
{
    size_t passed = 0;
    int error = SR_DONE;
    sr_index tail;
    if (ring->sink != NULL)
        error = ring->sink(ring->sink_context, items, (size_t)count, &passed);
    if (error == SR_DONE)
        passed = (size_t)count;
    tail = sr_load(&ring->tail) + (sr_index)passed;
    sr_store(&ring->evicted, sr_load(&ring->evicted) + (sr_index)passed);
    /* The head first: until the tail follows, the consumer sees nothing to claim, and a claim of what it saw
     * before fails. Nobody else moves the head of an empty ring. */
    sr_store(&ring->head, tail);
    ring->limit = tail;
    sr_publish(ring, tail);
    *taken += passed;
    return error;
}

SR_NOINLINE static int sr_push_slow(sr_spsc *ring, const unsigned char *items, sr_index count, size_t *taken)
{
    sr_index tail, room;
    int error;
    while ((error = sr_make_room(ring, count, &room)) == SR_DONE && room < count) {
        sr_index excess = count - room;
        size_t passed = 0;
        error = sr_forward(ring, items, excess, &passed);
        *taken += passed;
        if (error != SR_DONE)
            break;
        items += (size_t)excess * ring->itemsize;
        count = room;
    }
    if (error != SR_DONE)
        return error;
    tail = sr_load(&ring->tail);
    sr_write(ring, tail, items, count);
    sr_publish(ring, tail + count);
    *taken += (size_t)count;
    return SR_DONE;
}

/* May `count` items be written with nobody asked? */
static inline int sr_spsc_has_room(const sr_spsc *ring, size_t count)
{
    return count <= (size_t)(ring->limit - sr_load(&ring->tail));
}

/* Push `count` items; `taken` grows by those that were taken. Returns SR_DONE; SR_FULL, and then none were, if
 * the ring doesn't evict and has no room for all; or the sink's error. */
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

/* How many items could be pushed without an eviction, up to `count`. */
static inline size_t sr_spsc_room(sr_spsc *ring, size_t count)
{
    size_t room;
    if (SR_LIKELY(sr_spsc_has_room(ring, count)))
        return count;
    if (ring->pending_count == 0)
        sr_refresh_limit(ring);
    room = (size_t)(ring->limit - sr_load(&ring->tail));
    return room < count ? room : count;
}

/* Where the next item goes, once there is room for it; sr_spsc_commit pushes it. */
static inline void *sr_next_slot(sr_spsc *ring)
{
    return sr_slot(ring, sr_load(&ring->tail));
}

/* Push as many of the first items as there is room for; never evicts. Returns how many. */
static inline size_t sr_spsc_try_push(sr_spsc *ring, const void *items, size_t count)
{
    sr_index tail = sr_load(&ring->tail);
    if ((count = sr_spsc_room(ring, count)) != 0) {
        sr_write(ring, tail, (const unsigned char *)items, (sr_index)count);
        sr_publish(ring, tail + (sr_index)count);
    }
    return count;
}

/* Make room for `count` items, at most the capacity, and say where they go: `n_contiguous` of them at `*room`, the
 * others at the memory's start. SR_FULL if the ring doesn't evict, and nothing has changed; or if a stalled consumer is in the
 * way: then all that was resident has been evicted. */
static inline int sr_spsc_reserve(sr_spsc *ring, size_t count, void **room, size_t *n_contiguous)
{
    sr_index tail = sr_load(&ring->tail);
    if (!SR_LIKELY(sr_spsc_has_room(ring, count))) {
        sr_index found;
        int error = sr_make_room(ring, (sr_index)count, &found);
        if (error != SR_DONE)
            return error;
        if (found < count)
            return SR_FULL;
    }
    *room = sr_slot(ring, tail);
    *n_contiguous = (size_t)sr_contiguous(ring, tail, (sr_index)count);
    return SR_DONE;
}

/* Push the first `count` of the items that were written to the reserved room. */
static inline void sr_spsc_commit(sr_spsc *ring, size_t count)
{
    sr_publish(ring, sr_load(&ring->tail) + (sr_index)count);
}

/* Send all that is resident to the sink. Returns SR_DONE, or the sink's error; then the rest is still here. Only for a
 * ring that evicts: of another one the consumer has the content (sr_spsc_drain). */
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

/* The end: nothing is pushed any more, nor flushed, since a flush may give back. */
static inline void sr_spsc_close(sr_spsc *ring)
{
    ring->limit = sr_load(&ring->tail); /* there is no room any more */
    atomic_store_explicit(&ring->closed, 1, memory_order_release); /* W3, pairs with R3 */
    atomic_signal_fence(memory_order_seq_cst); /* `wanted` is looked at after that, too */
    sr_notify(ring, &ring->consumer, sr_load(&ring->consumer.wanted));
}

/* Call `wake` with the producer's context when there may be room for `count` items; see "waiting" above. */
static inline void sr_spsc_await_room(sr_spsc *ring, size_t count)
{
    sr_index finished = sr_load(&ring->finished);
    sr_index wanted = sr_load(&ring->tail) + (sr_index)count - ring->capacity - sr_load(&ring->evicted);
    if ((sr_distance)(wanted - finished) <= 0)
        wanted = finished + 1; /* all there was to wait for is claimed, and in the middle of being copied */
    sr_request_wake(&ring->producer, wanted);
}

/* -- the consumer's side ------------------------------------------------------------------------- */

/* Claim up to `max` of the oldest items, unless some are held: then those, or as many of them, come first. */
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
        /* Where positions wrap, a tail seen long ago may seem to lie ahead. */
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

/* Finish the first `count` of what is held. */
static inline void sr_finish(sr_spsc *ring, sr_index count)
{
    sr_index finished = sr_load(&ring->finished) + count;
    ring->claimed += count;
    ring->claimed_count -= count;
    atomic_store_explicit(&ring->finished, finished, memory_order_release); /* W2, pairs with R2 */
    sr_notify(ring, &ring->producer, finished);
}

/* Claim up to `max` of the oldest items that lie in a row, and read them where they are: nobody writes there
 * until they are released. Returns how many. */
static inline size_t sr_spsc_claim(sr_spsc *ring, size_t max, const void **items)
{
    sr_index count = sr_claim(ring, max, 1);
    *items = sr_slot(ring, ring->claimed);
    return (size_t)count;
}

/* Remove the first `count` of what was claimed. The rest is still held, and comes first in whatever
 * the consumer does next. */
static inline void sr_spsc_release(sr_spsc *ring, size_t count)
{
    sr_finish(ring, (sr_index)count);
}

/* Remove up to `max` of the oldest items into `out`: what is held, and then one run. Returns how many. */
static inline size_t sr_spsc_pop(sr_spsc *ring, void *out, size_t max)
{
    int was_held = ring->claimed_count != 0;
    size_t count = (size_t)sr_claim(ring, max, 0);
    if (count == 0)
        return 0;
    sr_read(ring, ring->claimed, (unsigned char *)out, (sr_index)count);
    sr_finish(ring, (sr_index)count);
    if (!SR_LIKELY(!was_held) && count < max)
        return count + sr_spsc_pop(ring, (unsigned char *)out + count * ring->itemsize, max - count);
    return count;
}

/* Move up to `max` items, what is held and then one run, into a sink. Returns SR_DONE, or its error; then the rest
 * is held. */
SR_NOINLINE static int sr_spsc_drain(sr_spsc *ring, size_t max, sr_sink sink, void *context)
{
    int error = SR_DONE, was_held;
    do {
        size_t taken = 0;
        sr_index count;
        was_held = ring->claimed_count != 0;
        count = sr_claim(ring, max, 0);
        if (count == 0)
            break;
        max -= (size_t)count;
        error = sr_send(ring, sink, context, ring->claimed, count, &taken);
        sr_store(&ring->drained, sr_load(&ring->drained) + (sr_index)taken);
        sr_finish(ring, (sr_index)taken);
    } while (was_held && error == SR_DONE);
    return error;
}

/* Drop up to `max` items, what is held and then all there is. */
static inline void sr_spsc_clear(sr_spsc *ring, size_t max)
{
    sr_index count;
    while ((count = sr_claim(ring, max, 0)) != 0) {
        max -= (size_t)count;
        sr_store(&ring->cleared, sr_load(&ring->cleared) + count);
        sr_finish(ring, count);
    }
}

/* How many items the consumer can have. */
static inline size_t sr_spsc_available(const sr_spsc *ring)
{
    sr_index head = sr_load(&ring->head);
    sr_distance available = (sr_distance)(sr_load(&ring->tail) - head);
    return (size_t)ring->claimed_count + (available > 0 ? (size_t)available : 0);
}

/* Closed, and all of it removed: nothing will ever come again. For either side: so not by what is held, which is
 * the consumer's own, and which it sets only after a claim has moved the head. */
static inline int sr_spsc_has_ended(const sr_spsc *ring)
{
    return sr_spsc_is_closed(ring) && sr_spsc_count(ring) == 0;
}

/* Call `wake` with the consumer's context when `count` items are there; see "waiting" above. */
static inline void sr_spsc_await_items(sr_spsc *ring, size_t count)
{
    /* Not from the head on: that goes back where a sink fails. */
    sr_request_wake(&ring->consumer, sr_load(&ring->finished) + sr_load(&ring->evicted) + (sr_index)count);
}

#endif
