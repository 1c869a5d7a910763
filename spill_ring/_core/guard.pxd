"""One thread at a time: the state of a sink or ring, and how a thread enters it.

What protects each class from a second thread: on a free-threaded Python, and from a thread without the GIL.

A class is *entered* when one thread has set its state to SR_BUSY (below). That thread is alone in it, and a second
thread gets a RuntimeError. Where there is a GIL, a plain look and store is enough as long as every thread that enters
has it. A sink or ring is made *atomic* before the first thread enters it without the GIL, and so is all that it sends
to, also what is attached later. This is who does so:

    BackgroundSink   For its sink, as it is bound to a dtype, because its thread sends typed items without the GIL.
    SpscRing, MpscRing
                     For the sink of a ring with a dtype, and for the sink that it is drained into, because long runs
                     are sent without the GIL.
    C interface      For its ring, as it is made; of an SpscRing for both sides.
    Cython           For its ring, at the first call of a method that wants no GIL (`push_block`, …). `push_value` does
                     so when it calls one. Code that calls `deliver` without the GIL calls `make_atomic` before.

Objects are sent only with the GIL. A *critical section* is CPython's own lock of an object. It costs nothing where
there is a GIL, and a thread that waits inside of it releases it, as it releases the GIL.

    every class      Each object is initialised once: a thread claims SR_MAKING, and sets SR_OPEN when everything is in
                     place. Attributes that are set until then are never replaced, so any thread may read them.
    Sink             A critical section protects `bind`, and `is_binding` refuses a second thread while the first waits
                     inside of it. A dtype that another object was told never changes. `n_users` is an atomic count, so
                     that exactly one user is the last to drop the sink. Whether a Python `send` may run in two threads
                     at once is up to its author.
    Ring, ObjectRing, ArrayRing
                     Every call enters the ring, except those that any thread may make at any time: `len`, `stats`,
                     `is_empty` and `is_full` read plain counters, and are approximate while another thread is inside.
                     Work that a sink or a destructor must not do inside the ring is deferred until the thread has left
                     it (`run_deferred`).
    RingIterator     Each step enters the ring, and moves the iterator's position while it is inside.
    Loan             It has a number, which the ring compares while it is entered. So of two threads that end the same
                     loan, one does.
    SpscRing         Each side is entered by itself, also by compiled code, and nobody else touches what a side owns.
                     `spsc.h` protects what the sides share. `target` is set once. The side that ends the ring claims
                     `sink_state`.
    MpscRing         The consumer's sides of all its rings are entered.
    Consumer         It is filled before any thread waits, and after that only read. The exception is the turn, which
                     belongs to the thread that has entered.
    Parking          Its numbers are atomics. A listener claims `listening`. The thread that has entered opens the
                     descriptor.
    BackgroundSink   The producer enters it. It shares only its `Worker` with its thread.
    Worker           Its fields are atomics (background.pxd tells which store pairs with which load). `error` belongs to
                     the side that `has_failed` gives it to. The sink is the producer of the worker's ring, and the
                     thread is its consumer.
    push_value       It is compiled and has no guard. The caller must see to it that only one thread at a time uses the
                     ring, and also the sink that the ring sends to, because push_value may write into that sink's
                     memory.
    CInterface       It is filled before anybody gets it, and after that only read.
    DropSink         It keeps nothing.
    CollectSink      It is entered. Its list of objects may be used by any thread: a critical section protects it, as
                     CPython protects every list.
    FnSink, ChannelSink
                     They keep nothing between two calls, so they are as safe as the function or queue that they call.
    LockedSink       It has a lock, which it also takes to bind and to close.
    BatchSink, ReduceSink, TeeSink
                     They are entered, also for `close`. So each of their sinks is dropped once.
    ProducerSink     It has dicts, and each step on one of them is a single operation of the dict. A critical section
                     makes the sink of an index once, for good.
    FileSink, NpySink
                     They are entered, because they may keep half an item for the next call.
    DiskSink         It is entered. Its thread and the thread that has entered share `sync_lock` (for the files) and a
                     lock of the segment (for how far they got).
    History          It holds only its ring. Each look enters that ring and the sinks that the ring sends to.
    Storage          Its memory belongs to the ring. A mutex protects the list of mirrors and their number.
    Plan             It never changes once it is in the cache of plans. Making a plan twice does no harm.
    cache of plans   It is a dict, and each step on it is a single operation. The operation that finds a plan also takes
                     the reference to it.
    open_sinks, rings
                     These are WeakValueDictionaries, which Python protects.

Two things are not protected. One is a list inside a ring or sink, against another thread that finds it through `gc` and
changes it at that moment. The other is a fork, which copies every object as it is. An object that another thread had
entered stays in use in the child. Exceptions are the sides of an `SpscRing`, a `LockedSink`, and a `BackgroundSink`
with the sinks that it sends to: the child can use these.
"""

cimport cython


cdef extern from * nogil:
    """
    /* SR_WINDOW: open, while compiled code writes single values that the sink has yet to count. SR_FORKED: reserved,
     * in a forked child, by a thread that may not exist there. SR_GONE: open, but its consumer has abandoned it. */
    enum { SR_NEW, SR_MAKING, SR_OPEN, SR_WINDOW, SR_BUSY, SR_RESERVED, SR_FORKED, SR_GONE, SR_CLOSED };

    /* How a thread may change a state. A thread that has the GIL may look at a plain state and then store another one,
     * because no other thread runs between the look and the store. A thread without the GIL needs a compare-and-swap,
     * and a compare-and-swap excludes nothing that looks and stores. So each state says by SR_ATOMIC which of the two
     * is in use. It begins plain, and is made atomic once, for good, by a thread that has the GIL, before anybody comes
     * in without the GIL (`make_atomic` in chain.pxd). SR_ATOMIC may be set while a thread is inside: the state still
     * refuses everybody else, and the thread that leaves has the GIL, since it entered with it, and keeps the bit.
     *
     * The compare-and-swap acquires and each store releases, so that a thread that enters sees everything that the
     * thread before it wrote. Without a GIL (Py_GIL_DISABLED) every state is atomic from the beginning. */
    #ifdef Py_GIL_DISABLED
    enum { SR_ATOMIC = 0 };
    #define sr_word_is_atomic(word) 1
    #else
    enum { SR_ATOMIC = 16 };
    #define sr_word_is_atomic(word) ((word) & SR_ATOMIC)
    #endif

    /* For a plain int in C and in C++ there are no atomics that all compilers know. */
    #ifdef _MSC_VER
    #include <intrin.h>
    #if defined(_M_ARM64) || defined(_M_ARM)
    #define sr_fence() __dmb(11) /* of the inner shareable domain */
    #else
    #define sr_fence() _ReadWriteBarrier()
    #endif
    #define sr_word_load(word) (*(volatile const int *)(word))
    static inline int sr_word_acquire(const int *word) { int found = sr_word_load(word); sr_fence(); return found; }
    static inline void sr_word_release(int *word, int to) { sr_fence(); *(volatile int *)word = to; }
    #define sr_word_plain_store(word, to) (*(volatile int *)(word) = (to))
    #define sr_word_cas(word, from, to) ((int)_InterlockedCompareExchange((volatile long *)(word), (to), (from)))
    #else
    #define sr_word_load(word) __atomic_load_n(word, __ATOMIC_RELAXED)
    #define sr_word_acquire(word) __atomic_load_n(word, __ATOMIC_ACQUIRE)
    #define sr_word_release(word, to) __atomic_store_n(word, to, __ATOMIC_RELEASE)
    #define sr_word_plain_store(word, to) __atomic_store_n(word, to, __ATOMIC_RELAXED)
    static inline int sr_word_cas(int *word, int from, int to)
    {
        __atomic_compare_exchange_n(word, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
        return from;
    }
    #endif

    /* Change the state from `from` to `to`. Returns the state found, which is `from` if the state was changed. If the
     * state is plain, the caller has the GIL. */
    static inline int sr_state_cas(int *state, int from, int to)
    {
        int found = sr_word_load(state);
        if (found == from && !sr_word_is_atomic(from)) {
            assert(PyGILState_Check());
            sr_word_plain_store(state, to);
            return from;
        }
        if (!sr_word_is_atomic(found))
            return found;
        return sr_word_cas(state, from | SR_ATOMIC, to | SR_ATOMIC) & ~SR_ATOMIC;
    }

    /* Any thread may ask. It is an acquire too: a thread that sees SR_OPEN sees what was initialised before. */
    static inline int sr_state_load(const int *state)
    {
        return sr_word_acquire(state) & ~SR_ATOMIC;
    }

    /* For the thread that changed the state last, and has entered by that. */
    static inline void sr_state_store(int *state, int to)
    {
        int found = sr_word_load(state);
        assert(sr_word_is_atomic(found) || PyGILState_Check());
        sr_word_release(state, to | (found & SR_ATOMIC));
    }

    static inline int sr_state_is_atomic(const int *state)
    {
        return sr_word_is_atomic(sr_word_acquire(state)) != 0;
    }

    /* The caller has the GIL. */
    static inline void sr_state_make_atomic(int *state)
    {
        int found = sr_word_load(state);
        if (!sr_word_is_atomic(found)) /* then nobody without the GIL may change it */
            sr_word_release(state, found | SR_ATOMIC);
    }

    /* Enter for a few instructions that call nothing. The caller has the GIL, so a look at a plain state is enough. */
    static inline int sr_try_lock(int *state)
    {
        int found = sr_word_load(state);
        if (found == SR_OPEN && !sr_word_is_atomic(SR_OPEN))
            return 1;
        return sr_word_is_atomic(found) && sr_state_cas(state, SR_OPEN, SR_BUSY) == SR_OPEN;
    }

    static inline void sr_unlock(int *state)
    {
        if (sr_word_is_atomic(sr_word_load(state)))
            sr_word_release(state, SR_OPEN | SR_ATOMIC);
    }

    /* Add to a count that is changed with the GIL only, or that any thread may change where there is none. Returns the
     * new count. Acquire and release: the thread that brings it to 0 sees what the others did before. */
    static inline Py_ssize_t sr_add_fetch(Py_ssize_t *count, Py_ssize_t by)
    {
    #ifdef Py_GIL_DISABLED
        return _Py_atomic_add_ssize(count, by) + by;
    #else
        return *count += by;
    #endif
    }

    /* An exception lies in the state of its thread, and a thread that Python doesn't know has a state only as long as
     * it has the GIL. So give it one to stay; the C interface takes it away as the call ends. */
    static inline void sr_ensure_thread_state(void)
    {
        if (PyGILState_GetThisThreadState() == NULL) {
            PyGILState_Ensure();
            PyEval_SaveThread();
        }
    }
    """
    enum:
        SR_NEW
        SR_MAKING
        SR_OPEN
        SR_WINDOW
        SR_BUSY
        SR_RESERVED
        SR_FORKED
        SR_GONE
        SR_CLOSED
    int sr_state_cas(int *state, int expected, int to)
    int sr_state_load(const int *state)
    void sr_state_store(int *state, int to)
    bint sr_state_is_atomic(const int *state)
    void sr_state_make_atomic(int *state)
    bint sr_try_lock(int *state)
    void sr_unlock(int *state)
    Py_ssize_t sr_add_fetch(Py_ssize_t *count, Py_ssize_t by)
    void sr_ensure_thread_state()


# What is initialised once, may be closed, and lets one thread in at a time: the base of every sink and ring.
cdef class Guarded:
    cdef int state

    # Get in where `enter` found another state than SR_OPEN, or raise what that state means.
    cdef int enter_slow(self, int found) except -1 nogil

    # Raise what a state means that kept the thread out. Python need not know the thread.
    @cython.final
    cdef int raise_for_state(self, int found) except -1 nogil

    @cython.final
    cdef int mark_closed(self) except -1

    @cython.final
    cdef inline int enter(self) except -1 nogil:
        cdef int found = sr_state_cas(&self.state, SR_OPEN, SR_BUSY)
        return 0 if found == SR_OPEN else self.enter_slow(found)

    @cython.final
    cdef inline void leave(self) noexcept nogil:
        sr_state_store(&self.state, SR_OPEN)

    @cython.final
    cdef inline int check_initialised(self) except -1:
        """Raise unless ``__init__`` has been through; a closed one passes."""
        return self.raise_for_state(SR_NEW) if sr_state_load(&self.state) <= SR_MAKING else 0
