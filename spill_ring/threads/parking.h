/* Where a thread sleeps until another one wakes it: a futex on Linux, an address on Windows, a short sleep elsewhere.
 * Nothing here touches Python. */
#ifndef SPILL_RING_PARK_H
#define SPILL_RING_PARK_H

#include "spill_ring/spsc.h"

#include <limits.h>
#include <stdatomic.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <time.h>
#include <unistd.h>
#endif

#if defined(__linux__)
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#endif

/* All orders are sequentially consistent: a wake is a system call, beside which that costs nothing. A sleeper's
 * load of `wakes` pairs with the waker's increment of it: who sees the increment sees what it was woken for, and
 * who doesn't finds the futex changed and doesn't sleep. That of `fd` by a waker pairs with its store by the loop
 * that listens, before it asks to be woken: who sees the question sees the descriptor. */
typedef struct sr_parking {
    _Atomic unsigned wakes; /* what a sleeper sleeps on: it changes with each wake */
    _Atomic int fd; /* an eventfd or a pipe that an event loop waits on meanwhile; -1: none, as always on Windows */
} sr_parking;

static inline void sr_set_wake_fd(sr_parking *parking, int fd)
{
    atomic_store(&parking->fd, fd);
}

static inline long long sr_now_ns(void) /* monotonic, in ns */
{
#if defined(_WIN32)
    LARGE_INTEGER now, rate;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&rate);
    return now.QuadPart / rate.QuadPart * 1000000000ll + now.QuadPart % rate.QuadPart * 1000000000ll / rate.QuadPart;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
#endif
}

/* The sleeper's part of a barrier that both sides need: the other one does nothing for it. False where the
 * platform has no such thing; then the sleeper must look again by itself now and then. */
static inline int sr_process_barrier(void)
{
#if defined(__linux__)
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) == 0)
        return 1;
    /* the first time in this process */
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0) == 0
        && syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) == 0;
#elif defined(_WIN32)
    FlushProcessWriteBuffers();
    return 1;
#else
    return 0;
#endif
}

static inline unsigned sr_wake_count(sr_parking *parking)
{
    return atomic_load(&parking->wakes);
}

/* Sleep until a wake after `wakes` was read, or a signal, or for about `ns`. */
static inline void sr_sleep(sr_parking *parking, unsigned wakes, long long ns)
{
#if defined(_WIN32)
    WaitOnAddress((volatile void *)&parking->wakes, &wakes, sizeof wakes, (DWORD)(ns / 1000000 + 1));
#else
    struct timespec time;
    time.tv_sec = (time_t)(ns / 1000000000ll);
    time.tv_nsec = (long)(ns % 1000000000ll);
#if defined(__linux__)
    syscall(SYS_futex, &parking->wakes, FUTEX_WAIT_PRIVATE, wakes, &time, NULL, 0);
#else
    (void)parking, (void)wakes;
    nanosleep(&time, NULL);
#endif
#endif
}

static inline void sr_wake_parked(void *context)
{
    sr_parking *parking = (sr_parking *)context;
    atomic_fetch_add(&parking->wakes, 1);
#if defined(_WIN32)
    WakeByAddressAll((void *)&parking->wakes);
#else
    static const unsigned long long one = 1;
    int fd;
#if defined(__linux__)
    syscall(SYS_futex, &parking->wakes, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#endif
    fd = atomic_load(&parking->fd);
    if (fd >= 0 && write(fd, &one, sizeof one) < 0) {
        /* full: then it is awake already */
    }
#endif
}

#endif
