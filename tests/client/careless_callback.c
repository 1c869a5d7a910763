/* A callback that does what a callback must not do. With it test_audio.py shows that portaudio.c counts that. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define on_audio on_audio_with_care
#include "audio_callback.c"
#undef on_audio

int on_audio(const void *input, void *output, unsigned long frames, const void *time, unsigned long flags,
             void *user_data)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    void *volatile memory = malloc(1); /* volatile, so that the compiler keeps the call */
    free(memory);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    syscall(SYS_getppid);
    return on_audio_with_care(input, output, frames, time, flags, user_data);
}
