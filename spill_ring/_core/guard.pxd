"""One thread at a time: the state of a sink or ring, and the way in.

What protects each class on a free-threaded Python, where no GIL does. "Entered" is the state below:
who is inside is alone, and a second thread gets a RuntimeError. A "critical section" is CPython's own,
of the object: nothing on a Python with a GIL, and let go of where a thread waits, as the GIL is.

    all              initialised once: SR_MAKING is claimed, and SR_OPEN set when all is in place.
                     What is set then is never replaced, so it is read by anyone.
    Sink             binding: a critical section; a dtype that somebody was told is never changed.
                     `users`: an atomic count, so that exactly one hangs up last. `took`: a variable
                     of the thread. What a Python `send` does is its own affair.
    Ring, ObjectRing, ArrayRing
                     entered for everything but what anyone may ask at any time: `len`, `stats`,
                     `is_empty`, `is_full` read plain counters, and are approximate while another
                     thread is inside. What ran in a sink or destructor comes after `run_deferred` has left.
    RingIterator     its ring is entered for each step, and the iterator's position moves in there.
    Loan             a number, which the ring compares while it is entered: of two that leave, one does.
    SpscRing         each side entered by itself, and what a side owns is touched by nobody else; between the two
                     is `spsc.h`. `target` is set once; `is_settled` is claimed by whichever side ends it.
    MpscRing         the consumer's side of every ring is entered.
    Consumer         set before anybody waits, and then only read; but the turn, which is theirs who entered.
    Parking          atomics, and `listening`, which is claimed; the descriptor is opened by who is entered.
    BackgroundSink   entered by the producer; `Worker` is what it shares with its thread.
    Worker           atomics (background_sink.pxd says which pairs with which), and `error`, which belongs to
                     whoever `has_failed` gives it to. Its ring: this is the producer, the thread the consumer.
    push_value       compiled, without a guard: one thread at a time is the caller's part, in the ring and in the sink
                     behind it, in whose room it may write.
    CInterface       set before it is handed out, and then only read.
    DropSink         keeps nothing.
    CollectSink      entered; its list of objects, which anyone may have, by critical section and as any
                     list is.
    FnSink, ChannelSink
                     keep nothing between two calls: as safe as the function or queue.
    LockedSink       a lock; it is bound and closed under it too.
    BatchSink, ReduceSink, TeeSink
                     entered, also to close: each sink behind is hung up on once.
    ProducerSink     dicts, of which each step is one; a critical section makes one sink of an index
                     for good.
    FileSink, NpySink
                     entered: half an item may be kept for the next call.
    DiskSink         entered; its thread and what is entered share `sync_lock` (the files) and a lock of the
                     segment (how far they got).
    History          keeps its ring alone, which is entered for each look, as are those behind it.
    Storage          its memory is the ring's; the list of mirrors and their number have a mutex.
    Plan             never changed once it is known; making one twice does no harm.
    plans known      a dict of which each step is one; a reference is taken by the step that finds it.
    open_sinks, rings
                     WeakValueDictionaries: Python's own.

Not protected: the lists inside a ring or sink against another thread that finds them by way of `gc`
and changes them just then. And a fork copies things as they are: what another thread was in stays in use
in the child, but for the sides of an `SpscRing`, a `LockedSink`, and a `BackgroundSink` with what is behind it.
"""

cimport cython


cdef extern from * nogil:
    """
    /* SR_WINDOW: open, while compiled code writes single values ahead of the accounting. SR_FORKED: reserved, in
     * a forked child, by a thread that may not be here. */
    enum { SR_NEW, SR_MAKING, SR_OPEN, SR_WINDOW, SR_BUSY, SR_RESERVED, SR_FORKED, SR_CLOSED };

    /* With the GIL a plain flag is enough: nothing else runs between the look and the store, and
     * whatever lets another thread in (a sink that runs Python) leaves the flag set. Without it
     * the flag is taken with a compare-and-swap: acquire pairs with the release in sr_state_store, so
     * that who comes in sees all that the one before wrote. The atomics are CPython's own, since plain
     * variables have none that all compilers know; they are as strong or stronger. */

    /* From `from` to `to`; returns the state found, which is `from` if it was taken. */
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

    /* What anyone may ask. Acquire, too: who sees SR_OPEN sees what was made. */
    static inline int sr_state_load(int *state)
    {
    #ifdef Py_GIL_DISABLED
        return _Py_atomic_load_int_acquire(state);
    #else
        return *state;
    #endif
    }

    /* Add to a count that any thread may change; returns the new one. Acquire and release: who
     * brings it to nothing sees what the others did before. */
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

    /* The same around a few instructions that call nothing: with the GIL a look is enough, since
     * nobody can come in meanwhile. */
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
