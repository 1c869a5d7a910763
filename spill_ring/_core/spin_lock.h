/* A lock that is held for a few instructions only: whoever finds it taken yields. Nothing here touches Python. */
#ifndef SPILL_RING_SPIN_LOCK_H
#define SPILL_RING_SPIN_LOCK_H

#include <stdatomic.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#define sr_yield SwitchToThread
#else
#include <sched.h>
#define sr_yield sched_yield
#endif

static inline void sr_spin_lock(atomic_flag *lock)
{
    while (atomic_flag_test_and_set_explicit(lock, memory_order_acquire))
        sr_yield();
}

static inline void sr_spin_unlock(atomic_flag *lock)
{
    atomic_flag_clear_explicit(lock, memory_order_release);
}

#endif
