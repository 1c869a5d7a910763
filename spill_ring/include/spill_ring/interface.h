/* A ring for compiled code in any language: a struct of functions, and the state to call them with.
 *
 * An `ArrayRing` and an `SpscRing` of numpy items give it as `ring.capsule`, `ring.ctypes` and `ring.cffi`. The ring
 * lives as long as somebody holds one of these. Nothing needs to be linked.
 *
 * Threads. Any thread may call, with the GIL or without it, also a thread that Python doesn't know. An `ArrayRing`
 * must be called by one thread at a time. Of an `SpscRing`, `push`, `reserve` and `commit` are the producer's, `pop` is
 * the consumer's, and `length` is for anybody. The caller must see to that. A thread that calls beside another one is
 * usually told SPILL_RING_IN_USE, but not always.
 *
 * Python. A call that succeeds doesn't touch Python, as long as evicted items are dropped, or go to a compiled function
 * (a FnSink of one) or to a CollectSink, whether directly or through other such rings. For any other sink, the calling
 * thread is made known to Python for the length of the call, which takes the GIL for a moment. (Many such calls take
 * long on CPython 3.13 without a GIL. There, let another thread drain an SpscRing instead.) An exception becomes
 * SPILL_RING_FAILED and goes to sys.unraisablehook; none is left set. Stop your threads before the interpreter ends,
 * because a call that needs Python after that never returns. In a subinterpreter spill_ring can't be imported.
 *
 * The declarations are valid C and C++. `version` changes when older clients would break. New members are added at the
 * end of the struct, and `size` tells whether a member is there.
 */
#ifndef SPILL_RING_INTERFACE_H
#define SPILL_RING_INTERFACE_H

#include <stddef.h>
#include <stdint.h>

#define SPILL_RING_CAPSULE "spill_ring.interface" /* the name of `ring.capsule` */

/* -- what cffi reads ------------------------------------------------------------------------------- */

enum { SPILL_RING_VERSION = 1 };

/* The errors, which the functions return instead of 0 or a count. */
enum {
    SPILL_RING_FAILED = -1, /* an exception was raised, usually by a sink; sys.unraisablehook has got it */
    SPILL_RING_CLOSED = -2, /* the ring is closed; `pop` from an SpscRing says so only when nothing is left */
    SPILL_RING_IN_USE = -3, /* another call is active in the ring, or a reservation is open */
    SPILL_RING_BAD_COUNT = -4, /* the count is below 0, or larger than the room can ever be */
    /* Nothing was pushed, because the ring rejects new items while it is full. Or `reserve` can't evict enough, because
     * a stalled consumer is in the way: then push instead. */
    SPILL_RING_FULL = -5,
    SPILL_RING_NOT_RESERVED = -6 /* `commit` was called without `reserve` */
};

typedef struct spill_ring_interface {
    int version; /* SPILL_RING_VERSION */
    size_t size; /* the size of this struct */
    ptrdiff_t item_size; /* the bytes of an item. Items have the ring's dtype, which nobody checks */
    void *state; /* the first argument of each function */

    /* Push `count` items, which must not lie in the ring's own memory. Returns 0 or an error. After an error, `length`
     * has grown by the items that were taken nevertheless, and nothing is lost. An SpscRing that blocks waits for room,
     * for ever if need be. */
    int (*push)(void *state, const void *items, ptrdiff_t count);
    /* Move up to `count` of the oldest items to `out`. Returns how many, or an error, and never waits. */
    ptrdiff_t (*pop)(void *state, void *out, ptrdiff_t count);
    /* Returns the number of items in the ring. */
    ptrdiff_t (*length)(void *state);
    /* `reserve` makes `*room` point to room for `count` new items in the ring's own memory, at most the capacity. Until
     * `commit`, nothing else can be pushed. `commit` pushes the first `count` of the items that were written there.
     * Both return 0 or an error. */
    int (*reserve)(void *state, ptrdiff_t count, void **room);
    int (*commit)(void *state, ptrdiff_t count);

    /* A push without a call: while `*next` is below `*stop`, write one item to `*next`, and then move `*next` on by the
     * size of an item. A `push` of one item opens this window, and any other call closes it. Only an ArrayRing of C
     * numbers opens it; for other rings both point to NULL. */
    char **next;
    char **stop;
} spill_ring_interface;

/* -- down to here ------------------------------------------------------------------------------------ */

/* spill_ring_push_f8(ring, value) and so on push one number of the C type that the dtype names. In a loop, with an
 * ArrayRing that drops, a push takes about two cycles. */
#define SPILL_RING_DEFINE_PUSH(name, type)                                                                             \
    static inline int spill_ring_push_##name(const spill_ring_interface *ring, type value)                             \
    {                                                                                                                  \
        type *place = (type *)(void *)*ring->next;                                                                     \
        type copy;                                                                                                     \
        if ((char *)place < *ring->stop) {                                                                             \
            *place = value;                                                                                            \
            *ring->next = (char *)(place + 1);                                                                         \
            return 0;                                                                                                  \
        }                                                                                                              \
        copy = value; /* a copy has the address, so that `value` can stay in a register */                             \
        return ring->push(ring->state, &copy, 1);                                                                      \
    }

SPILL_RING_DEFINE_PUSH(i1, int8_t)
SPILL_RING_DEFINE_PUSH(u1, uint8_t)
SPILL_RING_DEFINE_PUSH(i2, int16_t)
SPILL_RING_DEFINE_PUSH(u2, uint16_t)
SPILL_RING_DEFINE_PUSH(i4, int32_t)
SPILL_RING_DEFINE_PUSH(u4, uint32_t)
SPILL_RING_DEFINE_PUSH(i8, int64_t)
SPILL_RING_DEFINE_PUSH(u8, uint64_t)
SPILL_RING_DEFINE_PUSH(f4, float)
SPILL_RING_DEFINE_PUSH(f8, double)

#ifdef Py_PYTHON_H
/* Returns the interface in a `ring.capsule`, or NULL with an exception set. Keep the capsule as long as you use the
 * interface. The caller must have the GIL. */
static inline const spill_ring_interface *spill_ring_from_capsule(PyObject *capsule)
{
    const spill_ring_interface *ring = (const spill_ring_interface *)PyCapsule_GetPointer(capsule, SPILL_RING_CAPSULE);
    if (ring != NULL && (ring->version != SPILL_RING_VERSION || ring->size < sizeof *ring)) {
        PyErr_Format(PyExc_ImportError,
                     "compiled for version %d of spill_ring's interface, and this is %d, of %zu bytes",
                     (int)SPILL_RING_VERSION, ring->version, ring->size);
        return NULL;
    }
    return ring;
}
#endif

#endif
