/* A place where a thread sleeps until another thread wakes it. On Linux it sleeps on a futex, on Windows on an
 * address. Elsewhere it sleeps for a short time and looks again. Nothing here touches Python. */
#ifndef SPILL_RING_PARKING_H
#define SPILL_RING_PARKING_H

#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>

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

/* All orders are sequentially consistent, because a wake is a system call, beside which that costs nothing. A sleeper's
 * load of `wake_count` pairs with the increment by the waker. A sleeper that sees the increment also sees what it was
 * woken for. A sleeper that doesn't see it finds that the futex has changed, and doesn't sleep. A waker's load of `fd`
 * pairs with the store by the event loop, which comes before the loop's request to be woken. So a waker that sees the
 * request also sees the descriptor. */
typedef struct sr_parking {
    _Atomic unsigned wake_count; /* a sleeper sleeps on this number, which changes with each wake */
    _Atomic int fd; /* an eventfd or a pipe that an event loop waits for; -1: there is none, as always on Windows */
} sr_parking;

static inline void sr_set_wake_fd(sr_parking *parking, int fd)
{
    atomic_store(&parking->fd, fd);
}

/* The time of a monotonic clock, in nanoseconds. */
static inline long long sr_now_ns(void)
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

/* A full barrier on all threads of this process. The sleeper calls it on behalf of both sides, so that the other side
 * need not do anything. Returns false where the platform has no such barrier. Then the sleeper must wake up by itself
 * and look again, from time to time. */
static inline int sr_process_barrier(void)
{
#if defined(__linux__)
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) == 0)
        return 1;
    /* A process must register before its first barrier. */
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
    return atomic_load(&parking->wake_count);
}

/* Sleep for about `ns` nanoseconds. A signal ends the sleep, and so does any wake that came after the caller read
 * `wake_count`. */
static inline void sr_sleep(sr_parking *parking, unsigned wake_count, long long ns)
{
#if defined(_WIN32)
    WaitOnAddress((volatile void *)&parking->wake_count, &wake_count, sizeof wake_count, (DWORD)(ns / 1000000 + 1));
#else
    struct timespec time;
    time.tv_sec = (time_t)(ns / 1000000000ll);
    time.tv_nsec = (long)(ns % 1000000000ll);
#if defined(__linux__)
    syscall(SYS_futex, &parking->wake_count, FUTEX_WAIT_PRIVATE, wake_count, &time, NULL, 0);
#else
    (void)parking, (void)wake_count;
    nanosleep(&time, NULL);
#endif
#endif
}

static inline void sr_wake_parked(void *context)
{
    sr_parking *parking = (sr_parking *)context;
    atomic_fetch_add(&parking->wake_count, 1);
#if defined(_WIN32)
    WakeByAddressAll((void *)&parking->wake_count);
#else
    static const unsigned long long one = 1;
    int fd;
#if defined(__linux__)
    syscall(SYS_futex, &parking->wake_count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#endif
    fd = atomic_load(&parking->fd);
    if (fd >= 0 && write(fd, &one, sizeof one) < 0) {
        /* The pipe is full, so the event loop has been woken already. */
    }
#endif
}

#endif
