/* PortAudio's callback, which has a deadline: it must not wait, allocate, lock or meet Python. It pushes the frames into a
 * ring, which copies them and is through. audio.py compiles this and hands it to PortAudio. */
#include <spill_ring/interface.h>

typedef struct {
    const spill_ring_interface *ring;
    unsigned long missed; /* frames that the ring had no room for */
} recording;

/* A PaStreamCallback. */
int on_audio(const void *input, void *output, unsigned long frames, const void *time, unsigned long flags,
             void *user_data)
{
    recording *to = (recording *)user_data;
    (void)output, (void)time, (void)flags;
    if (to->ring->push(to->ring->state, input, (ptrdiff_t)frames) != 0)
        to->missed += frames;
    return 0; /* paContinue */
}
