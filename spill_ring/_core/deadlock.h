/* Which thread waits for which. Nothing here touches Python.
 *
 * Each wait that has no deadline and that one other thread has to end is in one list. The id of that other thread is read
 * where it lies, because it may change: a lock gets another owner. A thread looks for a circle after it has put its own
 * wait into the list. So the last of the threads that form a circle sees all of it. */
#ifndef SPILL_RING_DEADLOCK_H
#define SPILL_RING_DEADLOCK_H

#include <stdatomic.h>
#include <stddef.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#define sr_yield SwitchToThread
#else
#include <sched.h>
#define sr_yield sched_yield
#endif

/* deadlock.pxd defines sr_wait, for the modules that make one. */
static sr_wait *sr_waits;
static atomic_flag sr_waits_lock = ATOMIC_FLAG_INIT; /* taken for some hundred instructions at most */

static inline void sr_lock_waits(void)
{
    while (atomic_flag_test_and_set_explicit(&sr_waits_lock, memory_order_acquire))
        sr_yield();
}

static inline void sr_unlock_waits(void)
{
    atomic_flag_clear_explicit(&sr_waits_lock, memory_order_release);
}

static void sr_begin_wait(sr_wait *wait)
{
    sr_lock_waits();
    wait->next = sr_waits;
    sr_waits = wait;
    sr_unlock_waits();
}

static void sr_end_wait(sr_wait *wait)
{
    sr_wait **link = &sr_waits;
    sr_lock_waits();
    while (*link != wait)
        link = &(*link)->next;
    *link = wait->next;
    sr_unlock_waits();
}

/* Follow the waits from one on. In a circle that this wait isn't part of the walk ends after as many steps as there are
 * waits. */
static int sr_find_circle(const sr_wait *first)
{
    const sr_wait *wait = first, *end;
    size_t left = 0;
    int found = SR_NO_CIRCLE, is_certain = 1;
    sr_lock_waits();
    for (end = sr_waits; end != NULL; end = end->next)
        left++;
    for (; wait != NULL && left != 0; left--) {
        unsigned long other = atomic_load(wait->other);
        if (other == 0 || (wait->is_over != NULL && wait->is_over(wait->context)))
            break;
        is_certain &= wait->is_certain;
        if (other == first->thread) {
            found = is_certain ? SR_CIRCLE : SR_POSSIBLE_CIRCLE;
            break;
        }
        for (wait = sr_waits; wait != NULL && wait->thread != other; wait = wait->next) { }
    }
    sr_unlock_waits();
    return found;
}

/* In a forked child: only the waits of the thread that forked are still under way. */
static void sr_forget_other_waits(unsigned long thread)
{
    sr_wait **link = &sr_waits;
    while (*link != NULL) {
        if ((*link)->thread == thread)
            link = &(*link)->next;
        else
            *link = (*link)->next;
    }
    sr_unlock_waits();
}

#endif
