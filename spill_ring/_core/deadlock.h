/* Which thread waits for which. Nothing here touches Python.
 *
 * Each wait that has no deadline and that one other thread has to end is in one list. The id of that other thread is read
 * where it lies, because it may change: a lock gets another owner. A thread looks for a circle after it has put its own
 * wait into the list. So the last of the threads that form a circle sees all of it. */
#ifndef SPILL_RING_DEADLOCK_H
#define SPILL_RING_DEADLOCK_H

#include <stddef.h>

#include "spin_lock.h"

/* deadlock.pxd defines sr_wait, for the modules that make one. */
static sr_wait *sr_waits;
static atomic_flag sr_waits_lock = ATOMIC_FLAG_INIT; /* taken for some hundred instructions at most */

static void sr_begin_wait(sr_wait *wait)
{
    sr_spin_lock(&sr_waits_lock);
    wait->next = sr_waits;
    sr_waits = wait;
    sr_spin_unlock(&sr_waits_lock);
}

static void sr_end_wait(sr_wait *wait)
{
    sr_wait **link = &sr_waits;
    sr_spin_lock(&sr_waits_lock);
    while (*link != wait)
        link = &(*link)->next;
    *link = wait->next;
    sr_spin_unlock(&sr_waits_lock);
}

/* Follow the waits from one on. In a circle that this wait isn't part of the walk ends after as many steps as there are
 * waits. */
static int sr_find_circle(const sr_wait *first)
{
    const sr_wait *wait = first, *end;
    size_t left = 0;
    int found = SR_NO_CIRCLE, is_certain = 1;
    sr_spin_lock(&sr_waits_lock);
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
    sr_spin_unlock(&sr_waits_lock);
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
    sr_spin_unlock(&sr_waits_lock);
}

#endif
