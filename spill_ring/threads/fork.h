/* What a fork needs of the core of a ring between threads. */
#ifndef SPILL_RING_FORK_H
#define SPILL_RING_FORK_H

#include "spill_ring/spsc.h"

static sr_index sr_load_tail(const sr_spsc *ring)
{
    return atomic_load_explicit(&ring->tail, memory_order_acquire); /* as R1: the child's copy has all items below it */
}

/* In a forked child: forget what another thread pushed from `tail` on. */
static void sr_forget_pushed(sr_spsc *ring, sr_index tail)
{
    sr_index head = sr_load(&ring->head);
    if (sr_pushed(ring) == tail && (sr_distance)(head - tail) <= 0)
        return; /* so that a producer that forks in its sink finds all as it was */
    if ((sr_distance)(head - tail) > 0) /* the items up to `tail` have left the ring since, and more */
        tail = head;
    sr_store(&ring->tail, tail);
    ring->limit = tail; /* so that the next push computes it again: it may have been half changed */
    if ((sr_distance)(ring->seen_tail - tail) > 0)
        ring->seen_tail = tail;
}

/* The producer was another thread. Where evicted items are dropped, nobody is owed them: so all items below the head that
 * the consumer hasn't claimed are gone, also those of an eviction that the fork has cut in two. */
static void sr_count_dropped(sr_spsc *ring)
{
    if (ring->sink != NULL || !ring->evicts)
        return;
    ring->pending_count = 0;
    sr_store(&ring->evicted, sr_load(&ring->head) - sr_finished(ring) - ring->claimed_count);
}

static int sr_slot_is_empty(const sr_spsc *ring, sr_index position)
{
    return *(void **)sr_slot(ring, position) == NULL;
}

/* A run that wraps around is sent in two calls, and counted after the second. If the fork came between them, the slots
 * of the first half are empty, so count those. */
static void sr_count_evicted(sr_spsc *ring)
{
    for (; ring->pending_count != 0 && sr_slot_is_empty(ring, ring->pending); ring->pending++, ring->pending_count--)
        sr_store(&ring->evicted, sr_load(&ring->evicted) + 1);
}

static void sr_count_drained(sr_spsc *ring)
{
    for (; ring->claimed_count != 0 && sr_slot_is_empty(ring, ring->claimed); sr_finish(ring, 1))
        sr_store(&ring->drained, sr_load(&ring->drained) + 1);
}

#endif
