/* Drives spsc.h with two real threads, or with one, and accounts for every item.
 *
 *     cc -std=c11 -O2 -pthread -I spill_ring/include tests/core/stress.c -o stress
 *     ./stress --seconds 20             run random configurations for 20 seconds
 *     ./stress --long                   push 10^9 items
 *     ./stress --help                   list the options that can be fixed instead of drawn at random
 *
 * An item's bytes are made from its number. So a torn item is noticed, and the items that a sink or the consumer gets
 * in one run must have consecutive numbers. Each side sums up the items that it sees. If the sums of both sides make
 * up the sums of all pushed items, then no item was lost or came twice. Items of 1 to 7 bytes know their number only
 * modulo 256^size.
 *
 * A failure prints the options that repeat the run, as far as a run of two threads can be repeated.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#endif

#include "spill_ring/spsc.h"

enum { BLOCK = 4096, LARGEST = 256, BROKEN = -5 };

/* The options that may be fixed from outside; -1 means that one is drawn for each run. */
typedef struct {
    long size, capacity, factor, evicts, evict_block, mirrored, push_block, pop_block, fails, stalls, waits, clears,
        abandons, start, threads;
    uint64_t items, seed;
} config;

static config current; /* the configuration of the current run, for the report of a failure */

static _Noreturn void fail(const char *what)
{
    fprintf(stderr,
            "FAILED: %s\n  stress --runs 1 --seed %" PRIu64 " --items %" PRIu64
            " --size %ld --capacity %ld --factor %ld --evicts %ld --evict-block %ld --mirrored %ld --push-block %ld"
            " --pop-block %ld --fails %ld --stalls %ld --waits %ld --clears %ld --abandons %ld --start %ld"
            " --threads %ld\n",
            what, current.seed, current.items, current.size, current.capacity, current.factor, current.evicts,
            current.evict_block, current.mirrored, current.push_block, current.pop_block, current.fails,
            current.stalls, current.waits, current.clears, current.abandons, current.start, current.threads);
    fflush(stderr);
    _exit(1);
}

static void check(int holds, const char *what)
{
    if (!holds)
        fail(what);
}

static void on_alarm(int number)
{
    (void)number;
    fail("hangs"); /* this is not safe in a signal handler, but there is nothing better to do */
}

/* -- random numbers, time ------------------------------------------------------------------------ */

static uint64_t draw(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t below(uint64_t *state, uint64_t bound)
{
    return draw(state) % bound;
}

/* A number from 1 to `most`. All orders of magnitude are equally likely. */
static uint64_t up_to(uint64_t *state, uint64_t most)
{
    unsigned bits = 0;
    uint64_t least, value;
    while (most >> (bits + 1))
        bits++;
    least = UINT64_C(1) << below(state, bits + 1);
    value = least + below(state, least);
    return value < most ? value : most;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Stalls once in 2^stalls calls: for a moment, for a turn of the other side, or for a long time. */
static void stall(uint64_t *state)
{
    uint64_t drawn = draw(state);
    if (drawn & ((UINT64_C(1) << current.stalls) - 1))
        return;
    drawn >>= 32;
    if (drawn % 64 == 0)
        usleep((useconds_t)(drawn % 200));
    else if (drawn % 4 == 0)
        sched_yield();
    else
        for (volatile uint64_t i = 0; i < drawn % 1000; i++)
            ;
}

/* -- items --------------------------------------------------------------------------------------- */

static const uint64_t ODD = UINT64_C(0xd1342543de82ef95);

/* The largest number that an item of this size can tell apart. */
static uint64_t telling(void)
{
    return current.size < 8 ? (UINT64_C(1) << (8 * current.size)) - 1 : ~UINT64_C(0);
}

static void make(unsigned char *items, uint64_t number, size_t count)
{
    size_t size = (size_t)current.size;
    for (; count > 0; count--, number++, items += size)
        for (size_t at = 0; at < size; at += 8) {
            uint64_t word = number * ODD + at;
            memcpy(items + at, &word, size - at < 8 ? size - at : 8);
        }
}

/* The items that one side has seen. */
typedef struct {
    uint64_t next, count, sum, squares;
} tally;

static void add(tally *seen, uint64_t number, uint64_t count)
{
    uint64_t mask = telling();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t n = (number + i) & mask;
        seen->sum += n;
        seen->squares += n * n;
    }
    seen->next = number + count;
    seen->count += count;
}

static uint64_t inverse(uint64_t odd)
{
    uint64_t inverse = odd;
    for (int i = 0; i < 5; i++)
        inverse *= 2 - odd * inverse;
    return inverse;
}

/* The numbers of a run of items must be consecutive, and larger than those that the side saw before. */
static void see(tally *seen, const unsigned char *items, size_t count)
{
    size_t size = (size_t)current.size;
    uint64_t word = 0, number;
    unsigned char made[LARGEST];
    if (count == 0)
        return;
    memcpy(&word, items, size < 8 ? size : 8);
    number = seen->next + ((word * inverse(ODD) - seen->next) & telling());
    check(number - seen->next <= current.items, "an item came twice, too early, or is torn");
    for (size_t i = 0; i < count; i++) {
        make(made, number + i, 1);
        check(memcmp(items + i * size, made, size) == 0, "a torn item, or a gap within a run");
    }
    add(seen, number, count);
}

/* -- both sides ---------------------------------------------------------------------------------- */

typedef struct {
    sr_spsc *ring;
    uint64_t random;
    tally seen; /* by the producer's sink, or by the consumer */
    uint64_t sleeps, pended, drained, cleared;
    double until;
    sem_t woken;
    unsigned char buffer[BLOCK * LARGEST];
} side;

/* The sink of either side. It takes all items, or fails and takes a part of them. */
static int take(void *context, const void *items, size_t count, size_t *taken)
{
    side *self = context;
    int fails = current.fails && below(&self->random, 8) == 0;
    size_t part = fails ? (size_t)below(&self->random, count + 1) : count;
    stall(&self->random);
    see(&self->seen, items, part);
    *taken += part;
    return fails ? BROKEN : SR_DONE;
}

static int take_all(void *context, const void *items, size_t count, size_t *taken)
{
    side *self = context;
    see(&self->seen, items, count);
    *taken += count;
    return SR_DONE;
}

static void wake(void *context)
{
    sem_post(&((side *)context)->woken);
}

/* The sleeper makes a barrier on behalf of both sides. */
static void barrier(void)
{
#if defined(__linux__)
    if (syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
        fail("no membarrier");
#endif
}

static void sleep_until_woken(side *self)
{
    self->sleeps++;
    while (sem_wait(&self->woken) != 0)
        check(errno == EINTR, "sem_wait");
}

/* -- the producer -------------------------------------------------------------------------------- */

static void wait_for_room(side *self)
{
    while (sr_spsc_room(self->ring, 1) == 0) {
        sr_spsc_await_room(self->ring, 1);
        barrier();
        if (sr_spsc_room(self->ring, 1) != 0)
            sr_cancel_wake(&self->ring->producer);
        else
            sleep_until_woken(self);
    }
}

static size_t reserve_and_commit(side *self, uint64_t number, size_t count)
{
    sr_spsc *ring = self->ring;
    void *room;
    size_t n_contiguous;
    count = count < (size_t)current.capacity ? count : (size_t)current.capacity;
    if (sr_spsc_reserve(ring, count, &room, &n_contiguous) != SR_DONE)
        return 0;
    make(room, number, n_contiguous);
    make(ring->items, number + n_contiguous, count - n_contiguous);
    stall(&self->random);
    count = below(&self->random, 4) ? count : (size_t)below(&self->random, count + 1);
    sr_spsc_commit(ring, count);
    return count;
}

/* Do one random step. Returns how many items were pushed. */
static size_t produce(side *self, uint64_t number, uint64_t most)
{
    sr_spsc *ring = self->ring;
    size_t count = (size_t)up_to(&self->random, (uint64_t)current.push_block), taken = 0;
    count = count < most ? count : (size_t)most;
    switch (below(&self->random, 8)) {
    case 0:
        return reserve_and_commit(self, number, count);
    case 1:
    case 2:
        make(self->buffer, number, count);
        return sr_spsc_try_push(ring, self->buffer, count);
    case 3:
        if (ring->evicts && below(&self->random, 16) == 0) {
            int error = sr_spsc_flush(ring);
            check(error == SR_DONE || error == BROKEN, "flush returned what no sink did");
            return 0;
        }
        /* fall through */
    default: {
        int error;
        make(self->buffer, number, count);
        error = sr_spsc_push(ring, self->buffer, count, &taken);
        check(error == SR_DONE ? taken == count : taken <= count, "push took more or less than it says");
        check(error == SR_DONE || error == (ring->evicts ? BROKEN : SR_FULL), "push returned what no sink did");
        check(ring->evicts || error == SR_DONE || taken == 0, "a refused push took something");
        return taken;
    }
    }
}

typedef struct {
    side *producer, *consumer;
    uint64_t pushed;
    _Atomic int is_abandoned;
} pair;

static void *run_producer(void *context)
{
    pair *both = context;
    side *self = both->producer;
    uint64_t number = 0;
    unsigned turn = 0;
    while (number < current.items && (++turn % 64 || now() < self->until)) {
        uint64_t before = number;
        number += produce(self, number, current.items - number);
        self->pended += self->ring->pending_count != 0;
        stall(&self->random);
        if (number == before) {
            if (atomic_load(&both->is_abandoned) && !self->ring->evicts)
                break; /* no consumer will ever make room */
            /* Pending items make try_push fail, however much room there is. So wait only if nothing is pending. */
            if (current.waits && self->ring->pending_count == 0 && below(&self->random, 2))
                wait_for_room(self);
            else
                sched_yield();
        }
    }
    both->pushed = number;
    sr_spsc_close(self->ring);
    return NULL;
}

/* -- the consumer -------------------------------------------------------------------------------- */

static void wait_for_items(side *self)
{
    sr_spsc *ring = self->ring;
    /* A producer that refuses or waits must be able to push that many. */
    size_t count = (size_t)up_to(&self->random, (uint64_t)current.capacity);
    if (current.factor < 2)
        count = 1;
    while (sr_spsc_available(ring) < count && !sr_spsc_is_closed(ring)) {
        sr_spsc_await_items(ring, count);
        barrier();
        if (sr_spsc_available(ring) >= count || sr_spsc_is_closed(ring))
            sr_cancel_wake(&ring->consumer);
        else
            sleep_until_woken(self);
    }
}

/* Do one random step. Returns whether it removed anything. */
static int consume(side *self)
{
    sr_spsc *ring = self->ring;
    size_t most = (size_t)up_to(&self->random, (uint64_t)current.pop_block), count, held;
    switch (below(&self->random, 8)) {
    case 0:
    case 1: {
        const void *items;
        count = sr_spsc_claim(ring, most, &items);
        if (count == 0)
            return 0;
        stall(&self->random);
        count = below(&self->random, 4) ? count : (size_t)below(&self->random, count + 1);
        see(&self->seen, items, count);
        sr_spsc_release(ring, count);
        return 1;
    }
    case 2: {
        uint64_t before = self->seen.count;
        int error = sr_spsc_drain(ring, (size_t)-1, take, self);
        check(error == SR_DONE || error == BROKEN, "drain returned what no sink did");
        self->drained += self->seen.count - before;
        return self->seen.count != before;
    }
    case 3:
        if (current.clears && below(&self->random, 64) == 0) {
            sr_index before = sr_load(&ring->cleared);
            sr_spsc_clear(ring, (size_t)-1);
            self->cleared += (sr_index)(sr_load(&ring->cleared) - before);
            return 1;
        }
        /* fall through */
    default:
        held = (size_t)ring->claimed_count;
        count = sr_spsc_pop(ring, self->buffer, most);
        held = held < count ? held : count;
        see(&self->seen, self->buffer, held);
        see(&self->seen, self->buffer + held * (size_t)current.size, count - held);
        return count != 0;
    }
}

static void *run_consumer(void *context)
{
    pair *both = context;
    side *self = both->consumer;
    uint64_t abandon_at = current.abandons ? below(&self->random, current.items) : ~UINT64_C(0);
    while (!sr_spsc_has_ended(self->ring)) {
        stall(&self->random);
        if (self->seen.count >= abandon_at && below(&self->random, 16) == 0) {
            const void *items;
            sr_spsc_claim(self->ring, (size_t)current.pop_block, &items);
            atomic_store(&both->is_abandoned, 1);
            return NULL; /* and never return, in the middle of a claim */
        }
        /* A consumer that waits while it has claimed items may wait for a producer that waits for those. */
        if (!consume(self) && current.waits && self->ring->claimed_count == 0)
            wait_for_items(self);
    }
    check(sr_load(&self->ring->head) == sr_load(&self->ring->tail) && self->ring->claimed_count == 0,
          "the end was seen before all items were");
    return NULL;
}

/* -- one run ------------------------------------------------------------------------------------- */

static size_t physical(void)
{
    size_t slots = 1;
    while (slots < (size_t)(current.capacity * current.factor))
        slots *= 2;
    return slots;
}

static int may_be_mirrored(void)
{
    return (physical() * (size_t)current.size) % (size_t)sysconf(_SC_PAGESIZE) == 0;
}

static int mirrored = 1;

/* The memory is exactly as large as it must be, so that the sanitizers notice an access beyond it. */
static void open_ring(sr_spsc *ring)
{
    size_t bytes = physical() * (size_t)current.size;
    sr_index start = (sr_index)current.start;
    unsigned char *items;
    if (current.mirrored) {
        int file = memfd_create("stress", 0);
        check(file >= 0 && ftruncate(file, (off_t)bytes) == 0, "memfd_create");
        items = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (int half = 0; half < 2; half++)
            check(mmap(items + (size_t)half * bytes, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0)
                      != MAP_FAILED,
                  "mmap");
        close(file);
    }
    else
        check((items = malloc(bytes)) != NULL, "malloc");
    sr_spsc_init(ring, items, (size_t)current.size, (size_t)current.capacity, physical());
    ring->evicts = (int)current.evicts;
    ring->evict_block = (sr_index)current.evict_block;
    ring->is_mirrored = current.mirrored ? &mirrored : NULL;
    ring->sink = take;
    /* Pretend that `start` items were pushed before. Half of them were popped and half evicted, or all were popped
     * if the ring does not evict. */
    sr_store(&ring->tail, start);
    sr_store(&ring->head, start);
    sr_store(&ring->finished, ring->snapshot_n_claimed = ring->evicts ? start / 2 : start);
    sr_store(&ring->evicted, start - sr_load(&ring->finished));
    ring->seen_tail = ring->safe = ring->snapshot_head = start;
    ring->limit = start + ring->capacity;
}

static void close_ring(sr_spsc *ring)
{
    size_t bytes = physical() * (size_t)current.size;
    if (current.mirrored)
        munmap(ring->items, 2 * bytes);
    else
        free(ring->items);
}

typedef struct {
    uint64_t runs, pushed, spilled, popped, drained, cleared, sleeps, pended;
} totals;

/* Both sides are still. Remove the items that are left, and check that everything adds up. */
static void settle(sr_spsc *ring, side *producer, side *consumer, uint64_t pushed, totals *all)
{
    tally expected = {0};
    uint64_t spilled = producer->seen.count, before = consumer->seen.count, left;
    sr_index start = (sr_index)current.start, finished = ring->evicts ? start / 2 : start;
    int end = sr_spsc_is_closed(ring), error;
    left = sr_spsc_available(ring) + (size_t)ring->pending_count;
    check(sr_spsc_count(ring) == left, "the count is not the number of items that are there");
    ring->sink = take_all;
    if (ring->pending_count != 0)
        check(sr_deliver(ring) == SR_DONE, "pending items were not delivered");
    check((error = sr_spsc_drain(ring, (size_t)-1, take_all, consumer)) == SR_DONE, "the last drain failed");
    consumer->drained += consumer->seen.count - before;
    check(!end || sr_spsc_has_ended(ring), "a closed and empty ring has not ended");
    left -= producer->seen.count - spilled + consumer->seen.count - before;
    check(left == 0, "an item is still there");
    check(consumer->seen.count + consumer->cleared + producer->seen.count == pushed,
          "popped + drained + cleared + spilled is not pushed");
    if (consumer->cleared == 0) {
        add(&expected, 0, pushed);
        check(expected.sum == producer->seen.sum + consumer->seen.sum
                  && expected.squares == producer->seen.squares + consumer->seen.squares,
              "an item is missing, and another came twice");
    }
    check((sr_index)(sr_load(&ring->tail) - start) == (sr_index)pushed, "tail");
    check((sr_index)(sr_load(&ring->head) - start) == (sr_index)pushed, "head");
    check((sr_index)(sr_load(&ring->evicted) - (start - finished)) == (sr_index)producer->seen.count, "evicted");
    check((sr_index)(sr_load(&ring->finished) - finished) == (sr_index)(consumer->seen.count + consumer->cleared),
          "finished");
    check(sr_load(&ring->drained) == (sr_index)consumer->drained, "drained");
    check(sr_load(&ring->cleared) == (sr_index)consumer->cleared, "cleared");
    all->runs++;
    all->pushed += pushed;
    all->spilled += producer->seen.count;
    all->popped += consumer->seen.count - consumer->drained;
    all->drained += consumer->drained;
    all->cleared += consumer->cleared;
    all->sleeps += producer->sleeps + consumer->sleeps;
    all->pended += producer->pended;
}

static side *open_side(sr_spsc *ring, uint64_t *random, double until)
{
    side *self = calloc(1, sizeof *self);
    check(self != NULL, "calloc");
    self->ring = ring;
    self->random = draw(random);
    self->until = until;
    sem_init(&self->woken, 0, 0);
    return self;
}

static void two_threads(uint64_t *random, double until, totals *all)
{
    static sr_spsc ring;
    pair both = {0};
    pthread_t producer, consumer;
    open_ring(&ring);
    both.producer = open_side(&ring, random, until);
    both.consumer = open_side(&ring, random, until);
    ring.sink_context = ring.producer.context = both.producer;
    ring.consumer.context = both.consumer;
    ring.wake = current.waits ? wake : NULL;
    check(pthread_create(&producer, NULL, run_producer, &both) == 0, "pthread_create");
    check(pthread_create(&consumer, NULL, run_consumer, &both) == 0, "pthread_create");
    while (!sr_spsc_is_closed(&ring)) { /* any thread may ask */
        check(sr_spsc_count(&ring) <= (size_t)ring.mask + 1, "more than there are slots");
        usleep(500);
    }
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    settle(&ring, both.producer, both.consumer, both.pushed, all);
    close_ring(&ring);
    free(both.producer);
    free(both.consumer);
}

/* -- one thread: exactly the right items ---------------------------------------------------------- */

typedef struct {
    side producer, consumer;
    sr_index tail_at_claim;
} quiet;

static void consume_quietly(quiet *both)
{
    sr_spsc *ring = both->producer.ring;
    sr_index head = sr_load(&ring->head);
    consume(&both->consumer);
    if (sr_load(&ring->head) != head)
        both->tail_at_claim = sr_load(&ring->tail);
}

/* A sink during which the consumer is active. */
static int meddle(void *context, const void *items, size_t count, size_t *taken)
{
    quiet *both = context;
    int error = take(&both->producer, items, count, taken);
    if (below(&both->producer.random, 2))
        consume_quietly(both);
    return error;
}

/* Push into a ring whose consumer is still. After that, of the old and new items, the newest that fit are there. */
static size_t push_exactly(quiet *both, uint64_t number, uint64_t most)
{
    sr_spsc *ring = both->producer.ring;
    size_t count = (size_t)up_to(&both->producer.random, (uint64_t)current.push_block), taken = 0;
    size_t before = sr_spsc_available(ring) - (size_t)ring->claimed_count, after, fit = (size_t)current.capacity;
    sr_index tail, evicted = sr_load(&ring->evicted);
    int error;
    count = count < most ? count : (size_t)most;
    make(both->producer.buffer, number, count);
    error = sr_spsc_push(ring, both->producer.buffer, count, &taken);
    tail = sr_load(&ring->tail) + (sr_index)(count - taken);
    after = sr_spsc_available(ring) - (size_t)ring->claimed_count;
    if (ring->sink == meddle)
        return taken;
    check(ring->pending_count == 0, "items are pending, though no consumer was in the way");
    check(before + taken == after + (size_t)(sr_index)(sr_load(&ring->evicted) - evicted), "the numbers don't agree");
    /* Fewer items than fit stay only if more than physical - capacity items are pushed during one claim. */
    if (ring->claimed_count == 0 || (size_t)(sr_index)(tail - both->tail_at_claim) <= physical() - fit) {
        size_t fitting = before + count < fit ? before + count : fit;
        if (ring->evicts && current.evict_block == 1)
            check(error != SR_DONE || after == fitting, "the ring doesn't hold exactly the newest that fit");
        if (!ring->evicts)
            check((error == SR_DONE) == (before + count <= fit), "refused with room, or not refused without");
    }
    return taken;
}

static void one_thread(uint64_t *random, totals *all)
{
    static sr_spsc ring;
    static quiet both;
    uint64_t number = 0;
    memset(&both, 0, sizeof both);
    open_ring(&ring);
    both.producer.ring = both.consumer.ring = &ring;
    both.producer.random = draw(random);
    both.consumer.random = draw(random);
    ring.sink_context = &both.producer;
    if (below(random, 2)) {
        ring.sink = meddle;
        ring.sink_context = &both;
    }
    for (int turn = 0; turn < 1000 && number < current.items; turn++) {
        switch (below(random, 4)) {
        case 0:
            consume_quietly(&both);
            break;
        case 1:
            number += produce(&both.producer, number, current.items - number);
            break;
        default:
            number += push_exactly(&both, number, current.items - number);
        }
        check(sr_spsc_available(&ring) - (size_t)ring.claimed_count <= (size_t)current.capacity, "more than fit");
    }
    sr_spsc_close(&ring);
    settle(&ring, &both.producer, &both.consumer, number, all);
    close_ring(&ring);
}

/* -- one thread: one side still, while the other goes far ------------------------------------------ */

/* Push so many items that positions of 32 bits wrap. */
static void push_far(sr_spsc *ring)
{
    static unsigned char items[1 << 16];
    for (uint64_t pushed = 0; pushed < (UINT64_C(1) << 31) + 1000; pushed += sizeof items) {
        size_t taken = 0;
        check(sr_spsc_push(ring, items, sizeof items, &taken) == SR_DONE && taken == sizeof items, "a far push failed");
    }
}

static void far_apart(void)
{
    unsigned char memory[256], out[100], items[50];
    const void *claimed;
    size_t taken = 0;
    sr_spsc ring;

    memset(items, 1, sizeof items);
    sr_spsc_init(&ring, memory, 1, 100, sizeof memory);
    sr_spsc_push(&ring, items, 1, &taken);
    check(sr_spsc_pop(&ring, out, 100) == 1, "far: one item");
    push_far(&ring);
    check(sr_spsc_flush(&ring) == SR_DONE, "far: flush");
    sr_spsc_push(&ring, items, 3, &taken);
    check(sr_spsc_pop(&ring, out, 50) == 3, "far: a consumer that was long away gets items that are not there");

    sr_spsc_push(&ring, items, 50, &taken);
    check(sr_spsc_claim(&ring, 50, &claimed) == 50, "far: claim");
    push_far(&ring);
    memset(items, 2, sizeof items);
    for (int i = 0; i < 10; i++)
        sr_spsc_push(&ring, items, 50, &taken);
    for (int i = 0; i < 50; i++)
        check(((const unsigned char *)claimed)[i] == 1, "far: items that the consumer has claimed were overwritten");
    sr_spsc_release(&ring, 50);
    sr_spsc_push(&ring, items, 50, &taken);
    check(sr_spsc_pop(&ring, out, 100) == 50, "far: no items come any more");
}

/* -- one thread: the consumer goes to sleep while the sink looks at items that it will refuse ---------- */

typedef struct {
    sr_spsc *ring;
    size_t count;
    int is_awake;
} sleeper;

static int refuse(void *context, const void *items, size_t count, size_t *taken)
{
    sleeper *self = context;
    (void)items, (void)count, (void)taken;
    check(sr_spsc_available(self->ring) == 0, "items that are being evicted seem to be there");
    sr_spsc_await_items(self->ring, self->count);
    return BROKEN;
}

static void wake_sleeper(void *context)
{
    ((sleeper *)context)->is_awake = 1;
}

static void refused(void)
{
    for (size_t count = 1; count <= 3; count++) {
        unsigned char memory[8], item = 0;
        size_t taken = 0;
        sr_spsc ring;
        sleeper self = {&ring, count, 0};
        sr_spsc_init(&ring, memory, 1, 4, sizeof memory);
        ring.sink = refuse;
        ring.wake = wake_sleeper;
        ring.sink_context = ring.consumer.context = &self;
        sr_spsc_push(&ring, &item, 1, &taken);
        check(sr_spsc_flush(&ring) == BROKEN, "a sink refused, and flush did not say so");
        while (sr_spsc_available(&ring) < count) {
            check(!self.is_awake, "woken before there was anything");
            sr_spsc_push(&ring, &item, 1, &taken);
        }
        check(self.is_awake, "the consumer sleeps, though the items that it waits for are there");
    }
}

/* -- main ---------------------------------------------------------------------------------------- */

static void draw_config(const config *fixed, uint64_t *random, int is_long)
{
    static const long sizes[] = {1, 2, 3, 4, 7, 8, 8, 8, 12, 16, 24, 61, 64, 200, 256};
    uint64_t bytes = is_long ? UINT64_C(1) << 30 : UINT64_C(1) << 26;
#define DRAW(name, drawn) current.name = fixed->name >= 0 ? fixed->name : (long)(drawn)
    current = *fixed;
    DRAW(size, sizes[below(random, sizeof sizes / sizeof *sizes)]);
    DRAW(capacity, below(random, 3) ? up_to(random, 64) : up_to(random, 65536));
    DRAW(factor, UINT64_C(1) << below(random, 3));
    DRAW(evicts, below(random, 4) != 0);
    DRAW(evict_block, below(random, 4) ? 1 : up_to(random, (uint64_t)current.capacity));
    DRAW(mirrored, below(random, 2) && may_be_mirrored());
    DRAW(push_block, up_to(random, BLOCK));
    DRAW(pop_block, up_to(random, BLOCK));
    DRAW(fails, below(random, 2));
    DRAW(stalls, 2 + below(random, 10));
    DRAW(waits, below(random, 2));
    DRAW(clears, below(random, 4) == 0);
    DRAW(abandons, below(random, 8) == 0);
    DRAW(start, below(random, 2) ? 0 : 0 - below(random, 1 << 20)); /* it wraps soon */
    DRAW(threads, below(random, 4) ? 2 : 1);
#undef DRAW
    if (current.abandons)
        current.waits = 0; /* no consumer would wake the producer */
    if (fixed->items == 0)
        current.items = up_to(random, bytes / (uint64_t)current.size);
    check(current.size >= 1 && current.size <= LARGEST && current.push_block <= BLOCK && current.pop_block <= BLOCK
              && current.capacity >= 1 && current.factor >= 1 && (!current.mirrored || may_be_mirrored()),
          "an option is out of range");
}

static int usage(const struct option *options)
{
    printf("options, each with a number; those that are not given are drawn for each run:\n ");
    for (; options->name != NULL; options++)
        printf(" --%s", options->name);
    printf("\n");
    return 0;
}

int main(int argc, char **argv)
{
    config fixed = {.seed = 1};
    totals all = {0};
    double seconds = 0, begun = now();
    uint64_t target = 0, runs = 0, random;
    long far = -1, watchdog = 60, is_long = 0;
    int chosen;
    long *const fields[] = {&fixed.size, &fixed.capacity, &fixed.factor, &fixed.evicts, &fixed.evict_block,
                            &fixed.mirrored, &fixed.push_block, &fixed.pop_block, &fixed.fails, &fixed.stalls,
                            &fixed.waits, &fixed.clears, &fixed.abandons, &fixed.start,
                            &fixed.threads, &far, &watchdog};
    static const struct option options[] = {
        {"size", 1, NULL, 0}, {"capacity", 1, NULL, 1}, {"factor", 1, NULL, 2}, {"evicts", 1, NULL, 3},
        {"evict-block", 1, NULL, 4}, {"mirrored", 1, NULL, 5}, {"push-block", 1, NULL, 6}, {"pop-block", 1, NULL, 7},
        {"fails", 1, NULL, 8}, {"stalls", 1, NULL, 9}, {"waits", 1, NULL, 10}, {"clears", 1, NULL, 11},
        {"abandons", 1, NULL, 12}, {"start", 1, NULL, 13}, {"threads", 1, NULL, 14},
        {"far", 1, NULL, 15}, {"watchdog", 1, NULL, 16}, {"items", 1, NULL, 'i'},
        {"seed", 1, NULL, 'S'}, {"seconds", 1, NULL, 's'}, {"runs", 1, NULL, 'r'}, {"long", 0, NULL, 'l'},
        {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields - 2; i++)
        *fields[i] = -1;
    while ((chosen = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (chosen) {
        case 'i': fixed.items = strtoull(optarg, NULL, 0); break;
        case 'S': fixed.seed = strtoull(optarg, NULL, 0); break;
        case 's': seconds = strtod(optarg, NULL); break;
        case 'r': runs = strtoull(optarg, NULL, 0); break;
        case 'l': target = UINT64_C(1000000000); is_long = 1; break;
        case 'h': return usage(options);
        case '?': return 2;
        default: *fields[chosen] = strtol(optarg, NULL, 0);
        }
    if (seconds == 0 && target == 0 && runs == 0)
        runs = 100;
    signal(SIGALRM, on_alarm);
#if defined(__linux__)
    if (syscall(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0)
        fixed.waits = 0;
#else
    fixed.waits = 0;
#endif
    if (fixed.waits == 0)
        printf("nobody sleeps here\n");
    refused();
    if (far)
        far_apart();
    for (uint64_t run = 0; (runs == 0 || run < runs) && (target == 0 || all.pushed < target)
                           && (seconds == 0 || now() - begun < seconds);
         run++) {
        /* Each run has a seed of its own, so that it can be repeated alone. */
        double until = now() + (is_long ? 20 : 1);
        random = fixed.seed + run;
        draw_config(&fixed, &random, (int)is_long);
        current.seed = fixed.seed + run;
        alarm((unsigned)watchdog);
        if (current.threads == 1)
            one_thread(&random, &all);
        else
            two_threads(&random, until, &all);
        alarm(0);
    }
    printf("%" PRIu64 " runs, seeds %" PRIu64 "-%" PRIu64 ", %.1f s: pushed %" PRIu64 " = spilled %" PRIu64
           " + popped %" PRIu64 " + drained %" PRIu64 " + cleared %" PRIu64 "; slept %" PRIu64
           " times, pending %" PRIu64 " times\n",
           all.runs, fixed.seed, fixed.seed + all.runs - 1, now() - begun, all.pushed, all.spilled, all.popped,
           all.drained, all.cleared, all.sleeps, all.pended);
    return 0;
}
