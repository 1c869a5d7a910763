"""One thread at a time: the state of a sink or ring, and how a thread enters it.

What protects each class from a second thread on a free-threaded Python, where no GIL does.

A class is *entered* when one thread has set its state to SR_BUSY (below). That thread is alone in it, and a second
thread gets a RuntimeError. A *critical section* is CPython's own lock of an object. It costs nothing on a Python with a
GIL, and a thread that waits inside of it releases it, as it releases the GIL.

    every class      Each object is initialised once: a thread claims SR_MAKING, and sets SR_OPEN when everything is in
                     place. Attributes that are set until then are never replaced, so any thread may read them.
    Sink             A critical section protects `bind`. A dtype that another object was told never changes.
                     `n_users` is an atomic count, so that exactly one user is the last to drop the sink. Whether a
                     Python `send` may run in two threads at once is up to its author.
    Ring, ObjectRing, ArrayRing
                     Every call enters the ring, except those that any thread may make at any time: `len`, `stats`,
                     `is_empty` and `is_full` read plain counters, and are approximate while another thread is inside.
                     Work that a sink or a destructor must not do inside the ring is deferred until the thread has left
                     it (`run_deferred`).
    RingIterator     Each step enters the ring, and moves the iterator's position while it is inside.
    Loan             It has a number, which the ring compares while it is entered. So of two threads that end the same
                     loan, one does.
    SpscRing         Each side is entered by itself, and nobody else touches what a side owns. `spsc.h` protects what
                     the sides share. `target` is set once. The side that ends the ring claims `sink_state`.
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

    /* With the GIL a plain flag is enough: nothing else runs between the look and the store, and code that lets
     * another thread run (a sink that runs Python) leaves the flag set. Without the GIL the flag is set by a
     * compare-and-swap. Its acquire pairs with the release in sr_state_store, so that a thread that enters sees
     * everything that the thread before it wrote. The atomics are CPython's own, because for plain variables there
     * are none that all compilers know; CPython's are as strong or stronger. */

    /* Change the state from `from` to `to`. Returns the state found, which is `from` if the state was changed. */
    static inline int sr_state_cas(int *state, int from, int to)
    {
    #ifdef Py_GIL_DISABLED
        _Py_atomic_compare_exchange_int(state, &from, to);
        return from;
    #else
        int found = *state;
        if (found == from)
            *state = to;
        return found;
    #endif
    }

    /* Any thread may ask. It is an acquire too: a thread that sees SR_OPEN sees what was initialised before. */
    static inline int sr_state_load(int *state)
    {
    #ifdef Py_GIL_DISABLED
        return _Py_atomic_load_int_acquire(state);
    #else
        return *state;
    #endif
    }

    /* Add to a count that any thread may change. Returns the new count. Acquire and release: the thread that brings
     * it to 0 sees what the others did before. */
    static inline Py_ssize_t sr_add_fetch(Py_ssize_t *count, Py_ssize_t by)
    {
    #ifdef Py_GIL_DISABLED
        return _Py_atomic_add_ssize(count, by) + by;
    #else
        return *count += by;
    #endif
    }

    static inline void sr_state_store(int *state, int to)
    {
    #ifdef Py_GIL_DISABLED
        _Py_atomic_store_int_release(state, to);
    #else
        *state = to;
    #endif
    }

    /* Enter for a few instructions that call nothing. With the GIL a look is enough, because no other thread can
     * run meanwhile. */
    static inline int sr_try_lock(int *state)
    {
    #ifdef Py_GIL_DISABLED
        return sr_state_cas(state, SR_OPEN, SR_BUSY) == SR_OPEN;
    #else
        return *state == SR_OPEN;
    #endif
    }

    static inline void sr_unlock(int *state)
    {
    #ifdef Py_GIL_DISABLED
        sr_state_store(state, SR_OPEN);
    #else
        (void)state;
    #endif
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
    int sr_state_load(int *state)
    Py_ssize_t sr_add_fetch(Py_ssize_t *count, Py_ssize_t by)
    void sr_state_store(int *state, int to)
    bint sr_try_lock(int *state)
    void sr_unlock(int *state)


# What is initialised once, may be closed, and lets one thread in at a time: the base of every sink and ring.
cdef class Guarded:
    cdef int state

    # Get in where `enter` found another state than SR_OPEN, or raise what that state means.
    cdef int enter_slow(self, int found) except -1 nogil

    @cython.final
    cdef int raise_for_state(self, int found) except -1 with gil

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
