"""The Sink protocol for Cython: subclass Sink, and override `send_block`, `send_objects` or both."""
cimport cython
from cpython.object cimport PyObject

from spill_ring._core.guard cimport SR_BUSY, SR_OPEN, sr_state_store, sr_state_cas


# What a sink has got: the first item ever is number 0.
ctypedef struct KeptRange:
    long long end  # how many it got
    long long first  # of those, the first that is still there; of a ring, that is in the ring itself
    bint was_changed  # by another way than sending, so that which is which can't be told


cdef class Sink:
    cdef int state
    cdef bint is_guarded  # refuses a second entry: what keeps state of its own between two sends
    cdef bint overrides_send  # in Python
    cdef bint has_deferred  # `run_deferred` has something to do
    cdef bint is_bound  # to the items that it is sent:
    cdef object item_type  # their dtype; None: objects, or not bound yet
    cdef Py_ssize_t itemsize
    cdef bint dtype_published  # somebody else was told what it is bound to
    cdef int depth  # sinks behind it, in the longest line
    cdef Py_ssize_t n_users  # rings and sinks that send here; it closes with the last
    # Room that is lent. A sink that keeps items in a row (a CollectSink, an ArrayRing) may lend the memory where the
    # next ones go to a ring that sends here: while the sink is SR_WINDOW the ring writes items at `next` itself and
    # moves it, up to `stop`, without a call. They are in as they are written, but the sink's own count stands at
    # `opened`: what anyone may ask without entering adds `uncounted()`, and who enters has it counted first (`enter_slow`).
    # To lend, a guarded sink overrides `lend_slots`, `count_window` and `lending_class`.
    cdef char *cursor
    cdef char *window_start
    cdef char *window_end
    cdef object __weakref__

    # Called for each ring or sink that is going to send here. `dtype` None: objects.
    cdef int bind(self, object dtype) except -1
    # Called once, as it is bound and with nobody else inside: get what such items need.
    cdef int allocate_for(self, object dtype) except -1
    # The dtype for one who did not bind it, and to whom it may be new.
    cdef object bound_dtype(self)

    # `count` contiguous items, oldest first, that are the sink's only until it returns. A sink adds
    # to `taken` as it takes them: all of them, unless it raises.
    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil
    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1
    # The class whose `send_block` needs Python only to raise, and calls `sr_ensure_thread_state` first; NULL: it needs it, or
    # what is behind does. `needs_python` sees to it that the sink is of this class, and of no subclass.
    cdef void *native_class(self) noexcept nogil

    # The sink is entered. Point `next` to where the next items go, and return how many have room there in a row; 0,
    # as a full ring does that has to evict first: they have to be sent.
    cdef Py_ssize_t lend_slots(self) noexcept nogil
    cdef void count_window(self, Py_ssize_t count) noexcept nogil  # count items that lie there now; maybe none
    # The class that does so, asked as `described_class` is: a subclass with a `send_block` of its own lends nothing.
    cdef type lending_class(self)
    cdef int try_enter(self) noexcept nogil  # SR_OPEN: it is entered. Else the state that keeps everybody out
    cdef bint open_window(self) noexcept nogil  # to SR_WINDOW, if there is room to lend
    cdef void close_window(self) noexcept nogil  # count what is ahead, and lend no more

    cdef int enter_slow(self, int state) except -1 nogil  # when it isn't plainly open
    cdef int raise_for_state(self, int state) except -1 with gil
    cdef int begin_init(self, Sink target) except -1  # to be initialised, for good; and add_user its target
    cdef int mark_closed(self) except -1
    cdef int run_deferred(self, int state) except -1  # leave, and do what had to wait for that
    cdef bint has_pending(self) noexcept  # something is here that only `flush_pending` delivers
    cdef int flush_pending(self) except -1  # at the end, also what waits for a consumer

    # The chain.
    cdef list sinks_behind(self)  # those that it sends to itself
    # For `history`. The class whose way of taking items the rest describes, which is asked only where that is the
    # one that takes them: a subclass that overrides a send method keeps nothing unless it says so here. None: what is
    # sent here can't be read back.
    cdef type described_class(self)
    # For each sink behind, the last items that it has still to get: a list or ndarray, to be copied from. None: what is
    # sent here stays here.
    cdef list pending_items(self)
    cdef str pause(self)  # keep others out, until `resume`. Returns why what is behind can't be told, if it can't
    cdef int resume(self) except -1
    # Append `(sink, items)` to `found` for what keeps items from here on: how many it has got, or are on the way.
    cdef int find_keepers(self, long long on_the_way, list found) except -1
    cdef int kept_range(self, KeptRange *found) except -1
    # A copy of `count` items that it got. Errors call the first by `number`.
    cdef object read_kept(self, long long start, Py_ssize_t count, object number)

    @cython.final
    cdef inline int enter(self) except -1 nogil:
        cdef int found = sr_state_cas(&self.state, SR_OPEN, SR_BUSY)
        return 0 if found == SR_OPEN else self.enter_slow(found)

    @cython.final
    cdef inline void leave(self) noexcept nogil:
        sr_state_store(&self.state, SR_OPEN)

    @cython.final
    cdef inline Py_ssize_t uncounted(self) noexcept nogil:
        """Items that are in, and that the accounting doesn't count yet."""
        return 0 if self.cursor == self.window_start else (self.cursor - self.window_start) // self.itemsize


# The one way to send: it refuses a closed sink, guards it, and calls what Python overrides.
cdef int deliver(Sink sink, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil
cdef int deliver_objects(Sink sink, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1
# The one of the two for items of a dtype, which is None for objects.
cdef int deliver_any(Sink sink, object dtype, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1

# Declared here so that they are not compiled into the two above, whose every call would pay for it.
cdef int call_send(Sink sink, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil
cdef int call_send_objects(Sink sink, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1

# Is it this class that takes the items, and no subclass in a way of its own?
cdef bint takes_as(Sink sink, type cls) except -1

# Must a thread be known to Python that sends items of a dtype to it?
cdef bint needs_python(Sink sink) noexcept nogil


cdef extern from * nogil:
    """
    /* An exception lies in the state of its thread, which a thread that Python doesn't know has only as long as it has
     * the GIL. Give it one to stay; who called in from such a thread takes it away (interface.pyx). */
    static inline void sr_ensure_thread_state(void)
    {
        if (PyGILState_GetThisThreadState() == NULL) {
            PyGILState_Ensure();
            PyEval_SaveThread();
        }
    }
    """
    void sr_ensure_thread_state()


# An error that names items by number.
cdef object items_error(object error, object first, object count, str why, str one=*, str many=*)

# What a dtype, or None, says is sent.
cdef str describe(object dtype)

# The beginning of one user of a sink, which is initialised and open.
cdef int add_user(Sink user, Sink sink) except -1

# The way into a sink that was made after the line in front of it was measured, and so may lead back to where it comes
# from; and out again, by as many steps as it returned.
cdef int enter_chain(Sink sink) except -1
cdef void leave_chain(int steps) noexcept

# The end of one user of a sink: its last one closes it.
cdef int drop_user(Sink sink) except -1

# Forks between this process and the first: a thread of before one is not here.
cdef Py_ssize_t forks_so_far() noexcept nogil

# For a `__del__` whose sink doesn't take what is left.
cdef int warn_lost(object holder, Py_ssize_t count, object error, str name=*) except -1


cdef class DropSink(Sink):
    pass
