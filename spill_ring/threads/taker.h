/* The thread that took from a ring last, and whether it has ended. Nothing here touches Python.
 *
 * All rings from which a thread took that is still alive are in one list. When a thread ends, it goes through the list.
 * core.pxd defines sr_taker. */
#ifndef SPILL_RING_TAKER_H
#define SPILL_RING_TAKER_H

#include <stdatomic.h>
#include <stddef.h>

#include "spill_ring/spsc.h"
#include "spin_lock.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <pthread.h>
#endif

static sr_taker *sr_takers;
static atomic_flag sr_takers_lock = ATOMIC_FLAG_INIT; /* taken for a few instructions for each ring */

static void sr_unlink_taker(sr_taker *taker)
{
    sr_taker **link = &sr_takers;
    while (*link != taker)
        link = &(*link)->next;
    *link = taker->next;
    atomic_store(&taker->thread, 0);
}

/* The thread has ended; `is_fork`: all others have, because this process was forked by it. */
static void sr_end_taking(unsigned long thread, int is_fork)
{
    sr_taker *taker, *next;
    sr_spin_lock(&sr_takers_lock);
    for (taker = sr_takers; taker != NULL; taker = next) {
        next = taker->next;
        if ((atomic_load(&taker->thread) == thread) == is_fork)
            continue;
        sr_unlink_taker(taker);
        atomic_store(&taker->has_ended, 1);
        taker->core->wake(taker->core->producer.context); /* it may wait for room */
    }
    sr_spin_unlock(&sr_takers_lock);
}

#if defined(_WIN32)
static DWORD sr_takers_key = FLS_OUT_OF_INDEXES;
static void WINAPI sr_thread_ended(void *thread)
{
    if (thread != NULL)
        sr_end_taking((unsigned long)(size_t)thread, 0);
}
static int sr_watch_threads(void)
{
    sr_takers_key = FlsAlloc(sr_thread_ended);
    return sr_takers_key == FLS_OUT_OF_INDEXES;
}
#define sr_watch_thread(thread) FlsSetValue(sr_takers_key, (void *)(size_t)(thread))
#else
static pthread_key_t sr_takers_key;
static void sr_thread_ended(void *thread)
{
    sr_end_taking((unsigned long)(size_t)thread, 0);
}
static int sr_watch_threads(void)
{
    return pthread_key_create(&sr_takers_key, sr_thread_ended);
}
#define sr_watch_thread(thread) pthread_setspecific(sr_takers_key, (void *)(size_t)(thread))
#endif

/* This thread takes from a ring from which another one took before, or nobody. */
static void sr_begin_taking(sr_taker *taker, unsigned long thread)
{
    sr_spin_lock(&sr_takers_lock);
    if (atomic_load(&taker->thread) == 0) {
        taker->next = sr_takers;
        sr_takers = taker;
    }
    atomic_store(&taker->thread, thread);
    atomic_store(&taker->has_ended, 0);
    sr_spin_unlock(&sr_takers_lock);
    sr_watch_thread(thread);
}

/* The ring is freed. */
static void sr_forget_taker(sr_taker *taker)
{
    sr_spin_lock(&sr_takers_lock);
    if (atomic_load(&taker->thread) != 0)
        sr_unlink_taker(taker);
    sr_spin_unlock(&sr_takers_lock);
}

/* In a forked child, where the lock may be held by a thread that isn't there. */
static void sr_forget_other_threads(unsigned long thread)
{
    sr_spin_unlock(&sr_takers_lock);
    sr_end_taking(thread, 1);
}

#endif
