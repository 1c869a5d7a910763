/* What the lock-free headers of spill_ring need of a compiler and a machine: positions, relaxed access to them, the
 * size of a cache line, and a pause. This is freestanding C11, too.
 *
 * Positions have 64 bits where a pointer has 64 bits, and 32 elsewhere; spsc.h says what that means. */
#ifndef SPILL_RING_PORTABLE_H
#define SPILL_RING_PORTABLE_H

#ifdef __cplusplus
#error "spill_ring's headers are C11: compile the code that uses them as C"
#endif

#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SR_LIKELY(x) __builtin_expect(!!(x), 1)
#define SR_NOINLINE __attribute__((noinline, unused))
#define SR_MEMCPY __builtin_memcpy /* this is memcpy without a hosted header that declares it */
#else
#include <string.h>
#if defined(_MSC_VER)
#include <intrin.h>
#endif
#define SR_LIKELY(x) (x)
#define SR_NOINLINE
#define SR_MEMCPY memcpy
#endif

/* A field that one core writes and another core reads lies on a cache line of its own. That takes 128 bytes, because
 * prefetchers fetch lines of 64 bytes in pairs. A core without caches needs less. */
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

/* A loop that tries again and again calls this after each attempt that found no item, or no room. Every attempt takes
 * the cache line away from the side that writes to it, and a moment without attempts lets that side continue. Where
 * both sides loop like this, single items pass two to three times as fast. The pause takes about a microsecond. */
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

#endif
