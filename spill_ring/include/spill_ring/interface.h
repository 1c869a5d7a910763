/* A ring for compiled code of any kind: a struct of functions, and the state to call them with.
 *
 * An `ArrayRing` and an `SpscRing` of numpy items give it as `ring.capsule`, `ring.ctypes` and `ring.cffi`. The ring lives
 * as long as somebody holds one of these. Nothing is to be linked.
 *
 * Threads. Any thread may call, also one that Python doesn't know, with the GIL or without: an `ArrayRing` from one
 * thread at a time; of an `SpscRing` `push`, `reserve` and `commit` are the producer's, `pop` the consumer's, and `length`
 * anybody's. That is the caller's part: who calls beside another thread is usually told SPILL_RING_IN_USE.
 *
 * Python. Nothing here touches it on the way to success, as long as what is evicted is dropped, or goes to a compiled
 * function (a FnSink of one) or a CollectSink, by way of such rings or not. For any other sink the thread is made known to
 * Python for the length of the call, which takes the GIL for a moment (and many such calls take long on CPython 3.13
 * without a GIL: have another thread drain an SpscRing instead). Exceptions come out as SPILL_RING_FAILED and go to
 * sys.unraisablehook; none is left set. Stop your threads before the interpreter ends: what needs Python then
 * never returns. In a subinterpreter spill_ring can't be imported.
 *
 * The declarations are C and C++. `version` changes when old clients would break; what comes later goes to the end of
 * the struct, and `size` tells whether it is there.
 */
#ifndef SPILL_RING_INTERFACE_H
#define SPILL_RING_INTERFACE_H

#include <stddef.h>
#include <stdint.h>

#define SPILL_RING_CAPSULE "spill_ring.interface" /* the name of `ring.capsule` */

/* -- what cffi reads ------------------------------------------------------------------------------- */

enum { SPILL_RING_VERSION = 1 };

/* What is returned instead of 0 or a count. */
enum {
    SPILL_RING_FAILED = -1, /* an exception, of a sink for the most part; sys.unraisablehook has got it */
    SPILL_RING_CLOSED = -2, /* of `pop` from an SpscRing: and nothing is left */
    SPILL_RING_IN_USE = -3, /* somebody else is inside, or a reservation is open */
    SPILL_RING_BAD_COUNT = -4, /* below 0, or more than there can be room for */
    SPILL_RING_FULL = -5, /* nothing was pushed: the ring rejects; or `reserve` meets a stalled consumer: push instead */
    SPILL_RING_NOT_RESERVED = -6 /* a `commit` without a `reserve` */
};

typedef struct spill_ring_interface {
    int version; /* SPILL_RING_VERSION */
    size_t size; /* of this struct */
    ptrdiff_t item_size; /* bytes; items are those of the ring's dtype, which nobody checks */
    void *state; /* the first argument of each function */

    /* Push `count` items, which must not lie in the ring's own memory. 0, or an error: then `length` grows by what was
     * taken all the same, and nothing is lost. Waits for room, for ever, if the ring is an SpscRing that blocks. */
    int (*push)(void *state, const void *items, ptrdiff_t count);
    /* Remove up to `count` of the oldest into `out`. How many, or an error; never waits. */
    ptrdiff_t (*pop)(void *state, void *out, ptrdiff_t count);
    /* Items in the ring. */
    ptrdiff_t (*length)(void *state);
    /* Make `*room` point to room for `count` new items in the ring's own memory, at most the capacity. Nothing else is
     * pushed until `commit` takes in the first `count` of what was written there. 0, or an error. */
    int (*reserve)(void *state, ptrdiff_t count, void **room);
    int (*commit)(void *state, ptrdiff_t count);

    /* The next single item may be written to `*next` while that is below `*stop`, and then `*next` moves on by its size:
     * a push without a call. `push` of one item opens this window, and all else closes it. Only an ArrayRing of C
     * numbers opens it; elsewhere both point to NULL. */
    char **next;
    char **stop;
} spill_ring_interface;

/* -- down to here ------------------------------------------------------------------------------------ */

/* spill_ring_push_f8(ring, value) and so on: push one number, of the C type that the dtype names. In a loop over an
 * ArrayRing that drops, about two cycles. */
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
        copy = value; /* so that `value` needs no address, and can stay in a register */                               \
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
/* The interface in a `ring.capsule`, which must be kept as long as it is used; NULL with an exception set. Needs the GIL. */
static inline const spill_ring_interface *spill_ring_from_capsule(PyObject *capsule)
{
    const spill_ring_interface *ring = (const spill_ring_interface *)PyCapsule_GetPointer(capsule, SPILL_RING_CAPSULE);
    if (ring != NULL && (ring->version != SPILL_RING_VERSION || ring->size < sizeof *ring)) {
        PyErr_Format(PyExc_ImportError, "compiled for version %d of spill_ring's interface, and this is %d, of %zu bytes",
                     (int)SPILL_RING_VERSION, ring->version, ring->size);
        return NULL;
    }
    return ring;
}
#endif

#endif
