/* PortAudio's callback. It has a deadline, so it must not wait, allocate, lock or call Python. It pushes the frames into
 * a ring, which copies them, and does nothing more. audio.py compiles this file and passes the callback to PortAudio.
 */
#include <spill_ring/interface.h>

typedef struct {
    const spill_ring_interface *ring;
    unsigned long missed; /* the number of frames that the ring had no room for */
} recording;

/* This is a PaStreamCallback. */
int on_audio(const void *input, void *output, unsigned long frames, const void *time, unsigned long flags,
             void *user_data)
{
    recording *to = (recording *)user_data;
    (void)output, (void)time, (void)flags;
    if (to->ring->push(to->ring->state, input, (ptrdiff_t)frames) != 0)
        to->missed += frames;
    return 0; /* paContinue */
}
