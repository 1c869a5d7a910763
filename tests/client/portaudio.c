/* The part of PortAudio that examples/audio.py uses, without a sound card. A thread calls the callback with numbered
 * frames as fast as the callback takes them.
 *
 * It also counts what a callback must not do. This library is loaded before all others, so that they call its malloc,
 * pthread_mutex_lock and so on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <spill_ring/interface.h>

/* -- counting -------------------------------------------------------------------------------------- */

static __thread int is_inside; /* this thread is in the callback */
long allocations, locks, system_calls; /* only that thread writes these */

static void add_to(long *counter)
{
    if (is_inside)
        ++*counter;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *old);

void *malloc(size_t size) { add_to(&allocations); return __libc_malloc(size); }
void *calloc(size_t count, size_t size) { add_to(&allocations); return __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { add_to(&allocations); return __libc_realloc(old, size); }
void *aligned_alloc(size_t alignment, size_t size) { add_to(&allocations); return __libc_memalign(alignment, size); }
void free(void *old) { add_to(&allocations); __libc_free(old); }

int posix_memalign(void **made, size_t alignment, size_t size)
{
    add_to(&allocations);
    *made = __libc_memalign(alignment, size);
    return *made == NULL ? ENOMEM : 0;
}

#define COUNTED(counter, name, type)                                                                                   \
    int name(type *which)                                                                                              \
    {                                                                                                                  \
        static int (*real)(type *);                                                                                    \
        if (real == NULL)                                                                                              \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                                                 \
        add_to(&counter);                                                                                              \
        return real(which);                                                                                            \
    }

COUNTED(locks, pthread_mutex_lock, pthread_mutex_t)
COUNTED(locks, pthread_mutex_trylock, pthread_mutex_t)
COUNTED(locks, pthread_rwlock_rdlock, pthread_rwlock_t)
COUNTED(locks, pthread_rwlock_wrlock, pthread_rwlock_t)
COUNTED(locks, sem_wait, sem_t)
COUNTED(locks, sem_trywait, sem_t)

/* The C library has no function for a futex, so programs wait for it and wake it by syscall. */
long syscall(long number, ...)
{
    static long (*real)(long, ...);
    long a[6];
    int i;
    va_list arguments;
    va_start(arguments, number);
    for (i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "syscall");
    add_to(&system_calls);
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* -- PortAudio ------------------------------------------------------------------------------------- */

enum { CHANNELS = 8, LARGEST_BLOCK = 4096, INSUFFICIENT_DEVICES = -9985 };

typedef int callback(const void *input, void *output, unsigned long frames, const void *time, unsigned long flags,
                     void *user_data);

/* The test sets these: the number of frames; and, if the thread must wait for room, the ring and how many items it may
 * have. */
unsigned long frames_to_come;
const spill_ring_interface *awaited_ring;
ptrdiff_t most_in_ring;

static callback *on_audio;
static void *user_data;
static unsigned long block;
static pthread_t thread;
static _Atomic int is_stopping;

static void *play(void *context)
{
    float frames[LARGEST_BLOCK][CHANNELS];
    unsigned long done, i;
    int channel;
    for (done = 0; done < frames_to_come; done += block) {
        for (i = 0; i < block; i++) {
            frames[i][0] = (float)((done + i) % 65536);
            frames[i][1] = (float)((done + i) / 65536);
            for (channel = 2; channel < CHANNELS; channel++)
                frames[i][channel] = frames[i][0] + (float)channel;
        }
        while (awaited_ring != NULL && awaited_ring->length(awaited_ring->state) > most_in_ring && !is_stopping)
            usleep(20);
        is_inside = 1;
        on_audio(frames, NULL, block, NULL, 0, user_data);
        is_inside = 0;
    }
    return NULL;
}

int Pa_OpenDefaultStream(void **stream, int inputs, int outputs, unsigned long format, double rate,
                         unsigned long frames_per_buffer, callback *called, void *data)
{
    if (inputs != CHANNELS || outputs != 0 || format != 1 || rate != 48000 || frames_per_buffer > LARGEST_BLOCK)
        return INSUFFICIENT_DEVICES;
    *stream = &thread;
    on_audio = called;
    user_data = data;
    block = frames_per_buffer;
    return 0;
}

int Pa_StartStream(void *stream) { return pthread_create(stream, NULL, play, NULL); }

int Pa_StopStream(void *stream)
{
    is_stopping = 1;
    return pthread_join(*(pthread_t *)stream, NULL);
}

int Pa_Initialize(void) { return 0; }
int Pa_CloseStream(void *stream) { return 0; }
int Pa_Terminate(void) { return 0; }
const char *Pa_GetErrorText(int error) { return error == INSUFFICIENT_DEVICES ? "no such device" : "?"; }
