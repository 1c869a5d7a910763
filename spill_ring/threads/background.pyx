"""A thread of its own for a sink, so that a slow one never holds up the producer."""
from cpython.object cimport PyObject

from spill_ring._core.arguments cimport capacity_of
from spill_ring._core.chain cimport drop_user
from spill_ring._core.lifecycle cimport flush_at_exit, forks_so_far, warn_lost
from spill_ring.sinks.forwarding cimport ForwardingSink
from spill_ring._core.guard cimport SR_BUSY, SR_CLOSED, SR_OPEN, sr_add_fetch, sr_state_store, sr_state_cas, sr_state_load
from spill_ring.threads.eviction cimport empty_trash, SinkContext
from spill_ring.threads.parking cimport FOREVER, awaited, wait_for
from spill_ring._core.sink cimport TRACED, Sink, declare_traits, deliver_any
from spill_ring._core.tracing cimport Tracer
from spill_ring.threads.references cimport push_references
from spill_ring.threads.core cimport (
    sr_cancel_wake, sr_spsc_available, sr_spsc_await_items, sr_spsc_await_room, sr_spsc_count, sr_spsc_room,
    sr_spsc_try_push,
)
from spill_ring.threads.spsc cimport SpscRing

import threading
import warnings
from queue import Full


cdef extern from *:
    """
    #if PY_VERSION_HEX < 0x030D0000
    #define Py_IsFinalizing _Py_IsFinalizing
    #endif
    """
    const Py_ssize_t PY_SSIZE_T_MAX
    bint Py_IsFinalizing() nogil
    unsigned long PyThread_get_thread_ident() nogil


cdef enum:  # requests
    NOTHING
    FLUSH
    CLOSE
    KIND = 3


cdef class Worker:
    """What the thread holds. Not the sink itself: one that is dropped must be seen to be."""

    cdef int work(self) except -1:
        cdef awaited something
        cdef int request
        cdef bint is_orphan, is_last
        if self.has_ended or sr_state_cas(&self.ring.shared.consumer.state, SR_OPEN, SR_BUSY) != SR_OPEN:
            return 0  # starting an earlier thread was interrupted, and it is at work
        self.thread = PyThread_get_thread_ident()
        something.context = <void *>self
        something.is_there, something.arm, something.disarm = work_is_there, await_work, await_work_no_more
        while True:
            wait_for(self.ring.consumer.parking, &something, FOREVER)
            # Before the look: what was sent before a flush is flushed, and what failed before a drop is tried again.
            request = self.request
            is_orphan = self.is_orphan
            is_last = is_orphan or request & KIND == CLOSE
            try:
                if sr_spsc_available(self.ring.core):
                    self.send()
                    continue
                if request & KIND == CLOSE:
                    drop_user(self.target)
                elif (is_last or request & KIND == FLUSH) and sr_state_load(&self.target.state) != SR_CLOSED:
                    self.target.flush()
            except BaseException as error:
                if not is_orphan:
                    self.tell(error)
                    continue
                warn_lost(self.target, sr_spsc_count(self.ring.core), error, "BackgroundSink")
                is_last = True
            self.has_ended = is_last
            self.served = request
            self.ring.producer_parking.wake()
            if is_last:
                self.ring.leave_consumer()
                return 0

    cdef int send(self) except -1:
        cdef SinkContext out = SinkContext(NULL, NULL, NULL, 0, 0)
        try:
            self.ring.consumer.move_to(self.target, PY_SSIZE_T_MAX, &out)
        finally:
            empty_trash(&out)
        return 0

    cdef int tell(self, object error) except -1:
        """Wait until the producer has seen an error. What the sink didn't take is held, and tried again then."""
        cdef awaited seen
        seen.context = <void *>self
        seen.is_there, seen.arm, seen.disarm = error_was_seen, do_nothing, do_nothing
        self.error = error
        self.has_failed = True
        self.ring.producer_parking.wake()
        wait_for(self.ring.consumer.parking, &seen, FOREVER)
        return 0


def work(Worker worker not None):
    worker.work()


cdef class BackgroundSink(ForwardingSink):
    """BackgroundSink(sink, capacity, overflow="block")\n--\n
    A thread of its own for a sink, so that a slow disk or network doesn't hold up the producer.

    Parameters
    ----------
    sink : sink
        The slow one. It is called in the thread only, `flush` and `close` included.
    capacity : int
        Items that may wait for it, at least 1.
    overflow : {"block", "raise"}
        What happens when that many wait: the producer waits too; or it gets `queue.Full`, with which whatever
        it was sending stays where it is.

    Raises
    ------
    Exception
        Whatever the sink raises reaches the producer at its next call, which then has sent nothing; or the call that
        waits for room, which may have sent a part (a ring's `stats` tell). What the sink didn't take is kept, and
        it is tried again after that.

    Notes
    -----
    The thread starts when the first ring is attached. `flush` returns when everything is through and the sink
    is flushed. What still waits at the end of the interpreter, or when the sink is dropped, is sent on first.
    A forked child has its own copy of the items, and no thread: when the sink is used there, it starts one,
    and says so with a `RuntimeWarning` if anything was sent before the fork. **Thread safety.** One producer
    at a time; a second is refused with `RuntimeError`.

    >>> import time
    >>> slow = CollectSink()
    >>> with ArrayRing(4, "i8", sink=BackgroundSink(slow, 1000)) as ring:
    ...     ring.extend(range(100))
    >>> slow.items.sum()
    np.int64(4950)
    """

    def __cinit__(self, *args, **kwargs):
        self.is_guarded = True
        self.forks = -1

    def __init__(self, sink, capacity, overflow="block"):
        cdef Py_ssize_t size = capacity_of(capacity)
        if overflow not in ("block", "raise"):
            raise ValueError(f"overflow must be 'block' or 'raise', not {overflow!r}")
        self.attach(sink)
        declare_traits(self, BackgroundSink, TRACED)
        self.capacity = size
        self.is_blocking = overflow == "block"
        self.open_bound()

    cdef int allocate_for(self, object dtype) except -1:
        worker = Worker()
        worker.ring = SpscRing(self.capacity, dtype, overflow="reject")
        worker.target = self.target
        self.worker = worker
        return self.start()  # now: while the interpreter ends CPython 3.12 starts no thread any more

    cdef bint is_running(self) noexcept nogil:
        return self.forks == forks_so_far() and not self.worker.has_ended and not Py_IsFinalizing()

    cdef int enter_slow(self, int state) except -1 nogil:
        # In a forked child whoever was sending is not here; the next call makes it a thread of its own.
        if state == SR_BUSY and self.forks >= 0 and self.forks != forks_so_far():
            return 0
        return self.raise_for_state(state)

    cdef int start(self) except -1 with gil:
        if self.worker.has_ended:  # a close() that was interrupted
            self.raise_for_state(SR_CLOSED)
        if Py_IsFinalizing():
            raise RuntimeError(f"{self!r} has no thread any more: the interpreter is shutting down")
        if self.forks >= 0:
            if self.worker.ring.stats.pushed:
                warnings.warn(
                    f"{self!r} was forked without its thread; this process starts a new one",
                    RuntimeWarning, stacklevel=1,
                )
            self.forks = -1
            self.worker.has_failed = False
            self.worker.request = self.worker.served = NOTHING
            self.worker.thread = 0
            self.worker.ring.shared.consumer.state = SR_OPEN
            set_free(self.target)
        self.thread = threading.Thread(
            target=work, args=(self.worker,), name=f"BackgroundSink of {type(self.target).__name__}", daemon=True
        )
        try:
            self.thread.start()
        except RuntimeError as error:
            if "interpreter shutdown" not in str(error):  # CPython 3.12 starts none from its atexit functions
                raise
            self.is_alone = True
            return self.send_waiting()
        self.forks = forks_so_far()
        flush_at_exit(self)  # the thread is a daemon: it ends with the interpreter
        return 0

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        cdef Py_ssize_t put
        while True:
            if not self.is_running():
                self.start()
                if self.is_alone:
                    with gil:
                        return deliver_any(self.target, self.item_type, items, count, taken)
            if self.worker.has_failed:
                self.raise_error()
            put = self.offer(items, count)
            items = <const char *>items + put * self.worker.ring.itemsize
            count -= put
            taken[0] += put
            if count == 0:
                return 0
            if not self.is_blocking:
                return self.raise_full(count)
            self.wait_until(room_is_there)

    cdef int send_waiting(self) except -1:
        """In this thread, for want of another."""
        self.worker.ring.enter_consumer()
        try:
            self.worker.send()
        finally:
            self.worker.ring.leave_consumer()
        return 0

    cdef Py_ssize_t offer(self, const void *items, Py_ssize_t count) except -1 nogil:
        if self.worker.ring.slots == NULL:
            return <Py_ssize_t>sr_spsc_try_push(self.worker.ring.core, items, count)
        with gil:
            return push_references(self.worker.ring.core, <PyObject **>items, count)

    cdef int raise_error(self) except -1 with gil:
        error, self.worker.error = self.worker.error, None
        self.worker.has_failed = False
        self.worker.ring.consumer.parking.wake()
        raise error

    cdef int raise_full(self, Py_ssize_t count) except -1 with gil:
        raise Full(f"{self!r} has no room for {count} more items: it waits for its sink")

    cdef int wait_until(self, bint (*is_there)(const awaited *what) noexcept nogil) except -1 nogil:
        """Wait for the thread."""
        cdef awaited it
        if self.worker.thread == PyThread_get_thread_ident():  # the sink behind has called back
            self.raise_for_state(SR_BUSY)
        it.context, it.count, it.is_there = <void *>self.worker, 1, is_there
        it.arm, it.disarm = await_room, await_room_no_more
        wait_for(self.worker.ring.producer_parking, &it, FOREVER)
        return 0

    cdef void request(self, int kind) noexcept:
        self.worker.request = <int>((<unsigned>self.worker.request & ~<unsigned>KIND) + KIND + 1) | kind
        self.worker.ring.consumer.parking.wake()

    cdef int ask(self, int kind) except -1:
        """Have the thread do something, and wait until it has. The sink is entered."""
        if self.worker.has_failed:
            self.raise_error()
        self.request(kind)
        try:
            self.wait_until(request_is_done)
        except BaseException:
            self.request(NOTHING)  # nobody waits for it any more
            raise
        if self.worker.has_failed:
            self.request(NOTHING)  # first: once told the thread goes on, and would do it again behind our back
            self.raise_error()
        return 0

    cdef bint wait_through(self) except -1:
        """Wait until everything is through, unless the sink behind raises. The sink is entered."""
        if len(self) and not self.is_running():
            self.start()
        if len(self) and not self.worker.has_failed:
            self.request(NOTHING)  # done when nothing waits any more
            self.wait_until(request_is_done)
        return len(self) == 0

    cdef int trace(self, Tracer tracer) except -1:
        if tracer.is_attaching:
            # Where items wait somebody else sends here, and the thread may be anywhere.
            return tracer.passes_on([self.target], [()]) if len(self) == 0 else 0
        self.enter()
        try:
            if not self.wait_through():
                why = f"may wait in {self!r}, whose sink raised: {self.worker.error!r}"
                return tracer.cannot_tell(RuntimeError, why)
            return tracer.passes_on([self.target], [()])
        finally:
            self.leave()

    def flush(self):
        """Wait until everything is through, and the sink behind is flushed.

        Raises
        ------
        ValueError
            The sink is closed.
        RuntimeError
            Another thread is inside.
        Exception
            Whatever the sink behind raised; what it didn't take is still here.
        """
        self.enter()
        try:
            if self.worker is not None and not self.is_running() and (len(self) or self.worker.has_ended):
                self.start()
            if self.worker is not None and self.is_running():
                self.ask(FLUSH)
            elif self.forks != forks_so_far():  # else it was flushed at exit, and its thread is gone
                self.target.flush()
        finally:
            self.leave()

    def close(self):
        """Wait until everything is through, close the sink behind, and end the thread. Closing again does nothing.

        Raises
        ------
        RuntimeError
            Another thread is inside.
        Exception
            Whatever the sink behind raised; then this one stays open, with what is not through.
        """
        cdef int state = SR_OPEN
        if sr_state_load(&self.state) == SR_CLOSED:
            return
        self.enter()
        try:
            if self.worker is not None and not self.is_running() and len(self):
                self.start()
            if self.worker is not None and self.is_running():
                self.ask(CLOSE)
                self.thread.join()
            elif self.worker is None or not self.worker.has_ended:
                drop_user(self.target)
            state = SR_CLOSED
        finally:
            sr_state_store(&self.state, state)

    def __del__(self):
        if self.worker is None or sr_state_load(&self.state) == SR_CLOSED:
            return
        try:
            if len(self) and not self.is_running():
                self.start()
        except BaseException as error:
            warn_lost(self, len(self), error)
        if not self.is_running():
            return
        sr_add_fetch(&self.target.n_users, -1)
        self.worker.is_orphan = True
        self.worker.ring.consumer.parking.wake()
        if self.worker.thread != PyThread_get_thread_ident():
            self.thread.join()

    cdef int flush_pending(self) except -1:
        # Also with nothing waiting: the thread keeps the sink behind, which nobody else will flush.
        if sr_state_load(&self.state) == SR_CLOSED or self.worker is None:
            return 0
        if self.is_running() or sr_spsc_count(self.worker.ring.core) > 0:
            self.flush()
        return 0

    @property
    def capacity(self):
        """Items that may wait for the sink."""
        return self.capacity

    @property
    def overflow(self):
        """What happens when that many wait: ``"block"`` or ``"raise"``."""
        return "block" if self.is_blocking else "raise"

    def __len__(self):
        """Items that wait for the sink, or that it is being sent."""
        return 0 if self.worker is None else sr_spsc_count(self.worker.ring.core)

    def __bool__(self):
        return True

    def __repr__(self):
        overflow = "" if self.is_blocking else ", overflow='raise'"
        return f"BackgroundSink({self.sink!r}, {self.capacity}{overflow})"


cdef int set_free(Sink sink) except -1:
    """In a forked child: the thread that may have been in there is not here."""
    if sink.state == SR_BUSY:
        sink.state = SR_OPEN
    for target in sink.targets():
        set_free(target)
    return 0


cdef bint work_is_there(const awaited *what) noexcept nogil:
    return (
        (<Worker>what.context).request != (<Worker>what.context).served or (<Worker>what.context).is_orphan
        or sr_spsc_available((<Worker>what.context).ring.core) > 0
    )


cdef void await_work(const awaited *what) noexcept nogil:
    sr_spsc_await_items((<Worker>what.context).ring.core, 1)


cdef void await_work_no_more(const awaited *what) noexcept nogil:
    sr_cancel_wake(&(<Worker>what.context).ring.core.consumer)


cdef bint room_is_there(const awaited *what) noexcept nogil:
    return (
        (<Worker>what.context).has_failed or (<Worker>what.context).has_ended
        or sr_spsc_room((<Worker>what.context).ring.core, 1) > 0
    )


cdef void await_room(const awaited *what) noexcept nogil:
    sr_spsc_await_room((<Worker>what.context).ring.core, 1)


cdef void await_room_no_more(const awaited *what) noexcept nogil:
    sr_cancel_wake(&(<Worker>what.context).ring.core.producer)


cdef bint request_is_done(const awaited *what) noexcept nogil:
    return (
        (<Worker>what.context).has_failed or (<Worker>what.context).request == (<Worker>what.context).served
        or (<Worker>what.context).has_ended
    )


cdef bint error_was_seen(const awaited *what) noexcept nogil:
    return not (<Worker>what.context).has_failed or (<Worker>what.context).is_orphan


cdef void do_nothing(const awaited *what) noexcept nogil:
    """The producer wakes the thread in any case."""
