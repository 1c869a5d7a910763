"""One thread at a time: the state of a sink or ring, and the way in."""

cdef extern from * nogil:
    """
    /* SR_AHEAD: open, while compiled code pushes single values ahead of the accounting. */
    enum { SR_NEW, SR_OPEN, SR_AHEAD, SR_BUSY, SR_RESERVED, SR_CLOSED };

    /* (On a free-threaded Python the GIL is back as soon as this package is imported, until every
     * class has been through an audit and setup.py says freethreading_compatible.)
     *
     * With the GIL a plain flag is enough: nothing else runs between the look and the store, and
     * whatever lets another thread in (a sink that runs Python) leaves the flag set. Without it
     * the flag is taken with a compare-and-swap: acquire pairs with the release in sr_leave, so
     * that who comes in sees all that the one before wrote. */

    /* From `from` to `to`; returns the state found, which is `from` if it was taken. */
    static inline int sr_move(int *state, int from, int to)
    {
    #ifdef Py_GIL_DISABLED
        __atomic_compare_exchange_n(state, &from, to, 0, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE);
        return from;
    #else
        int found = *state;
        if (found == from)
            *state = to;
        return found;
    #endif
    }

    static inline void sr_leave(int *state, int to)
    {
    #ifdef Py_GIL_DISABLED
        __atomic_store_n(state, to, __ATOMIC_RELEASE);
    #else
        *state = to;
    #endif
    }

    /* The same around a few instructions that call nothing: with the GIL a look is enough, since
     * nobody can come in meanwhile. */
    static inline int sr_hold(int *state)
    {
    #ifdef Py_GIL_DISABLED
        return sr_move(state, SR_OPEN, SR_BUSY) == SR_OPEN;
    #else
        return *state == SR_OPEN;
    #endif
    }

    static inline void sr_let_go(int *state)
    {
    #ifdef Py_GIL_DISABLED
        sr_leave(state, SR_OPEN);
    #else
        (void)state;
    #endif
    }
    """
    enum:
        SR_NEW
        SR_OPEN
        SR_AHEAD
        SR_BUSY
        SR_RESERVED
        SR_CLOSED
    int sr_move(int *state, int expected, int to)
    void sr_leave(int *state, int to)
    bint sr_hold(int *state)
    void sr_let_go(int *state)
