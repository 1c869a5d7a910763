"""A thread of its own for a sink, so that a slow one never holds up the producer."""
cimport numpy as cnp
from cpython.object cimport PyObject
from libc.string cimport memcpy

from spill_ring._core.arguments cimport capacity_of
from spill_ring._core.block cimport new_block
from spill_ring._core.chain cimport drop_user, make_atomic
from spill_ring._core.cpython cimport PY_SSIZE_T_MAX, Py_INCREF, Py_IsFinalizing, PyThread_get_thread_ident
from spill_ring._core.guard cimport (
    SR_BUSY, SR_CLOSED, SR_OPEN, sr_state_cas, sr_state_load, sr_state_store,
)
from spill_ring._core.lifecycle cimport flush_at_exit, forks_so_far, repr_of, warn_lost
from spill_ring._core.sink cimport TRACED, Sink, count_items, declare_traits, deliver_any
from spill_ring._core.tracing cimport Tracer
from spill_ring.sinks.forwarding cimport ForwardingSink
from spill_ring.threads.core cimport (
    sr_cancel_wake, sr_index, sr_pushed, sr_slot, sr_spsc, sr_spsc_available, sr_spsc_await_items, sr_spsc_await_room,
    sr_spsc_count, sr_spsc_room, sr_spsc_try_push,
)
from spill_ring.threads.eviction cimport SinkContext, empty_trash
from spill_ring.threads.parking cimport FOREVER, NO_WAIT, awaited, wait_for
from spill_ring.threads.references cimport push_references
from spill_ring.threads.spsc cimport SpscRing
from spill_ring.threads.taker cimport begin_taking, is_consumer_gone

import threading
import warnings
from queue import Full

cnp.import_array()


cdef enum:  # requests
    NOTHING
    FLUSH
    CLOSE
    KIND_MASK = 3


cdef class Worker:
    """What the thread works with. The sink owns it, and outlives the thread. So the thread needs a reference only while
    it works: a thread that is idle keeps nothing alive that the garbage collector could free."""

    cdef bint begin(self) except -1:
        if self.has_ended or sr_state_cas(&self.ring.shared.consumer.state, SR_OPEN, SR_BUSY) != SR_OPEN:
            return False  # an earlier thread is at work, whose start was interrupted
        begin_taking(self.ring.shared)
        self.thread = PyThread_get_thread_ident()
        return True

    cdef bint step(self) except -1:
        """Do what there is to do. Returns True if that was the last."""
        # Read these before looking for items. Then items that were sent before a flush are flushed, and items that
        # failed before the sink was dropped are tried again.
        cdef int request = self.request
        cdef bint is_orphan = self.is_orphan
        cdef bint is_last = is_orphan or request & KIND_MASK == CLOSE
        try:
            if sr_spsc_available(self.ring.core):
                self.send()
                return False
            if request & KIND_MASK == CLOSE:
                drop_user(self.target)
            elif (is_last or request & KIND_MASK == FLUSH) and sr_state_load(&self.target.state) != SR_CLOSED:
                self.target.flush()
        except BaseException as error:
            if not is_orphan:
                self.report_error(error)
                return False
            warn_lost(self.target, sr_spsc_count(self.ring.core), error, "BackgroundSink")
            is_last = True
        self.has_ended = is_last
        self.served = request
        self.ring.producer_parking.wake()
        if is_last:
            self.ring.leave_consumer()
        return is_last

    cdef int send(self) except -1:
        cdef SinkContext out = SinkContext(NULL, NULL, NULL, 0, 0)
        try:
            self.ring.consumer.send_to(self.target, PY_SSIZE_T_MAX, &out)
        finally:
            empty_trash(&out)
        return 0

    cdef int report_error(self, object error) except -1:
        """Have the thread wait until the producer has got an error. The items that the sink didn't take stay in the
        ring, to be sent again after that."""
        self.error = error
        self.has_failed = True
        self.ring.producer_parking.wake()
        return 0


cdef class BorrowedWorker:
    cdef PyObject *worker


def work(BorrowedWorker borrowed not None):
    cdef PyObject *lent = borrowed.worker
    cdef Worker worker = <Worker>lent
    cdef awaited something
    something.context, something.other = lent, NULL
    something.is_there, something.arm, something.disarm = work_is_there, await_work, await_work_no_more
    if not worker.begin():
        return
    while True:
        if not worker.is_orphan:  # else its sink may be gone
            worker = None
        wait_for((<Worker>lent).ring.consumer.parking, &something, FOREVER)
        worker = <Worker>lent
        if worker.step():
            return


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
        it is tried again after that. `pending` shows it; `skip` gives up an item that the sink will never take.

    Notes
    -----
    The thread starts when the first ring is attached. `flush` returns when all items are sent on and the sink is
    flushed. Items that still wait at the end of the interpreter, or when the sink is dropped, are sent on first.
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
        if self.worker is not None and self.is_running():  # for items that `attached` refused
            self.end_thread()
            self.forks = -1
        self.leave_worker()
        worker = Worker()
        worker.ring = SpscRing(self.capacity, dtype, overflow="reject")
        worker.target = self.target
        if dtype is not None:
            make_atomic(self.target)  # since the thread sends typed items without the GIL
        self.worker = worker
        return self.start()  # now, since CPython 3.12 starts no thread any more while the interpreter ends

    cdef bint is_running(self) noexcept nogil:
        return (
            self.forks == forks_so_far() and not self.worker.has_ended and not Py_IsFinalizing()
            and not self.has_died()
        )

    cdef int enter_slow(self, int state) except -1 nogil:
        # In a forked child the producer that was sending may not be here. The next call starts a thread.
        if state == SR_BUSY and self.forks >= 0 and self.forks != forks_so_far():
            return 0
        return self.raise_for_state(state)

    cdef int start(self) except -1 with gil:
        if self.worker.has_ended and not self.worker.is_orphan:  # by a close() that was interrupted
            self.raise_for_state(SR_CLOSED)
        if self.worker.has_ended:  # with this sink, which the garbage collector freed before what feeds it
            self.is_alone = True
            return self.send_waiting()
        if Py_IsFinalizing():
            raise RuntimeError(f"{self!r} has no thread any more, since the interpreter is shutting down")
        if self.forks >= 0 and self.forks != forks_so_far():
            self.recover_from_fork()
        elif self.forks >= 0:
            self.forget_thread()  # it has died
        borrowed = BorrowedWorker()
        borrowed.worker = <PyObject *>self.worker
        self.thread = threading.Thread(
            target=work, args=(borrowed,), name=f"BackgroundSink of {type(self.target).__name__}", daemon=True
        )
        try:
            self.thread.start()
        except RuntimeError as error:
            if "interpreter shutdown" not in str(error):  # CPython 3.12 starts no thread from its atexit functions
                raise
            self.is_alone = True
            return self.send_waiting()
        self.forks = forks_so_far()
        flush_at_exit(self)  # since the thread is a daemon, which ends with the interpreter
        return 0

    cdef int recover_from_fork(self) except -1:
        if self.worker.ring.stats.pushed:
            warnings.warn(
                f"{self!r} was forked without its thread; this process starts a new one", RuntimeWarning, stacklevel=1
            )
        self.forget_thread()
        reset_after_fork(self.target)
        return 0

    cdef void forget_thread(self) noexcept:
        self.forks = -1
        self.worker.has_failed = False
        self.worker.request = self.worker.served = NOTHING
        self.worker.thread = 0
        self.worker.ring.shared.taker.has_ended = False
        sr_state_store(&self.worker.ring.shared.consumer.state, SR_OPEN)

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
            put = self.try_send(items, count)
            items = <const char *>items + put * self.worker.ring.itemsize
            count -= put
            taken[0] += put
            if count == 0:
                return 0
            if not self.is_blocking:
                return self.raise_full(count)
            self.wait_until(room_is_there)

    cdef int send_waiting(self) except -1:
        """Send the items on in this thread, since no other can be started."""
        self.worker.ring.enter_consumer()
        try:
            self.worker.send()
        finally:
            self.worker.ring.leave_consumer()
        return 0

    cdef Py_ssize_t try_send(self, const void *items, Py_ssize_t count) except -1 nogil:
        if self.worker.ring.slots == NULL:
            return <Py_ssize_t>sr_spsc_try_push(self.worker.ring.core, items, count)
        with gil:
            return push_references(self.worker.ring.core, <PyObject **>items, count)

    cdef int raise_error(self) except -1 with gil:
        raise self.take_error()

    cdef object take_error(self):
        """Take the error that the thread waits for somebody to take."""
        error, self.worker.error = self.worker.error, None
        self.worker.has_failed = False
        self.worker.ring.consumer.parking.wake()
        return error

    cdef int raise_full(self, Py_ssize_t count) except -1 with gil:
        raise Full(f"{self!r} has no room for {count} more items: its sink has yet to take the others")

    cdef bint has_died(self) noexcept nogil:
        """Did the thread end without being asked to? Nothing in this package does that, but a trace function may."""
        return is_consumer_gone(self.worker.ring.shared) and not self.worker.has_ended

    cdef int wait_until(self, bint (*is_there)(const awaited *what) noexcept nogil) except -1 nogil:
        """Wait until the thread has done something."""
        cdef awaited it
        if self.worker.thread == PyThread_get_thread_ident():  # the thread's sink calls back
            self.raise_for_state(SR_BUSY)
        it.context, it.count, it.is_there = <void *>self.worker, 1, is_there
        it.arm, it.disarm = await_room, await_room_no_more
        it.other, it.is_certain = &self.worker.thread, True
        it.is_over = room_was_made if is_there == room_is_there else request_was_done
        wait_for(self.worker.ring.producer_parking, &it, FOREVER)
        return 0

    cdef void request(self, int kind) noexcept:
        self.worker.request = <int>((<unsigned>self.worker.request & ~<unsigned>KIND_MASK) + KIND_MASK + 1) | kind
        self.worker.ring.consumer.parking.wake()

    cdef int request_and_wait(self, int kind) except -1:
        """Have the thread do something, and wait until it has. The caller has entered the sink."""
        if self.worker.has_failed:
            self.raise_error()
        self.request(kind)
        try:
            self.wait_until(request_is_done)
        except BaseException:
            self.request(NOTHING)  # since nobody waits for it any more
            raise
        if self.has_died():
            self.start()
            return self.request_and_wait(kind)
        if self.worker.has_failed:
            self.request(NOTHING)  # first, since the thread goes on once the error is taken, and would do it then
            self.raise_error()
        return 0

    cdef bint wait_drained(self) except -1:
        """Wait until all items are sent on, or the slow sink raises. The caller has entered this sink."""
        if len(self) and not self.is_running():
            self.start()
        if len(self) and not self.worker.has_failed:
            self.request(NOTHING)  # which is done when no item waits any more
            self.wait_until(request_is_done)
        return len(self) == 0

    cdef int trace(self, Tracer tracer) except -1:
        if tracer.is_attaching:
            # If items wait, another ring sends here, and nobody knows how far the thread is.
            return tracer.passes_on([self.target], [()]) if len(self) == 0 else 0
        self.enter()
        try:
            if not self.wait_drained():
                why = f"may wait in {self!r}, whose sink raised: {repr_of(self.worker.error)}"
                return tracer.cannot_tell(why)
            return tracer.passes_on([self.target], [()])
        finally:
            self.leave()

    cdef list undelivered(self, Py_ssize_t n_skipped):
        """Wait until the thread has delivered all, or its sink has raised: then the thread waits too, and touches
        nothing."""
        cdef list parts
        if sr_state_load(&self.state) == SR_CLOSED:
            return []
        self.enter()
        try:
            self.wait_drained()
            parts = self.target.undelivered(n_skipped)
            n_skipped -= min(n_skipped, count_items(parts))
            if len(self):
                parts.append(copy_items(self.worker.ring))
                self.worker.ring.consumer.pop_many(n_skipped, NO_WAIT)
            return parts
        finally:
            self.leave()

    def skip(self, n=1, /):
        """Give up the oldest of the `pending` items, such as one that the slow sink will never take.

        Waits until the thread has delivered all items or its sink has raised. The error that the sink raised
        is dropped, and the rest is sent.

        Parameters
        ----------
        n : int
            How many; fewer if fewer are pending.

        Returns
        -------
        list or ndarray
            Those items, oldest first.
        """
        skipped = ForwardingSink.skip(self, n)
        if len(skipped) and self.worker.has_failed:
            self.take_error()
        return skipped

    def flush(self):
        """Wait until all items are sent on, and the slow sink is flushed.

        Raises
        ------
        ValueError
            The sink is closed.
        RuntimeError
            Another thread is inside.
        Exception
            Whatever the slow sink raised; what it didn't take is still here.
        """
        self.enter()
        try:
            if self.worker is not None and not self.is_running() and (len(self) or self.worker.has_ended):
                self.start()
            if self.worker is not None and self.is_running():
                self.request_and_wait(FLUSH)
            elif self.is_alone or self.forks != forks_so_far():  # else the thread flushed it at exit, and has ended
                self.target.flush()
        finally:
            self.leave()

    def close(self):
        """Wait until all items are sent on, close the slow sink, and end the thread. Closing again does nothing.

        Raises
        ------
        RuntimeError
            Another thread is inside.
        Exception
            Whatever the slow sink raised; then this one stays open, with the items that it didn't take.
        """
        cdef int state = SR_OPEN
        if sr_state_load(&self.state) == SR_CLOSED:
            return
        self.enter()
        try:
            if self.worker is not None and not self.is_running() and len(self):
                self.start()
            if self.worker is not None and self.is_running():
                self.request_and_wait(CLOSE)
                self.thread.join()
            elif self.worker is None or not self.worker.has_ended:
                drop_user(self.target)
            state = SR_CLOSED
        finally:
            sr_state_store(&self.state, state)

    def __del__(self):
        cdef bint is_closed = sr_state_load(&self.state) == SR_CLOSED
        ForwardingSink.__del__(self)
        if self.worker is None:
            return
        try:
            if not is_closed and len(self) and not self.is_running():
                self.start()
        except BaseException as error:
            warn_lost(self, len(self), error)
        if not is_closed and self.is_running():
            self.end_thread()
        self.leave_worker()

    cdef int leave_worker(self) except -1:
        """Before another worker, or none, takes its place. A thread that isn't known to have ended keeps it: it may be
        asleep as the interpreter ends, or a signal handler may have raised just as it was started."""
        if self.worker is None or self.thread is None or has_ended(self.worker):
            return 0
        Py_INCREF(<PyObject *>self.worker)
        if not Py_IsFinalizing():
            self.worker.is_orphan = True
            self.worker.ring.consumer.parking.wake()
        return 0

    cdef int end_thread(self) except -1:
        """Have the thread send what is here, and wait for its end, whatever signal handlers raise: it must not outlive
        the worker."""
        failure = None
        self.worker.is_orphan = True
        self.worker.ring.consumer.parking.wake()
        if self.worker.thread == PyThread_get_thread_ident():
            return 0
        while not has_ended(self.worker):
            try:
                self.thread.join()
            except BaseException as error:
                failure = error
        if failure is not None:
            raise failure
        return 0

    cdef int flush_pending(self) except -1:
        # Also if no item waits, since the slow sink has to be flushed too, and only the thread may do that.
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


cdef object copy_items(SpscRing ring):
    """The items of a ring whose consumer does nothing, and whose producer asks."""
    cdef sr_spsc *core = ring.core
    cdef Py_ssize_t i
    cdef Py_ssize_t count = <Py_ssize_t>sr_spsc_available(core)
    cdef sr_index oldest = sr_pushed(core) - count
    cdef char *data
    if ring.item_type is None:
        return [<object>(<PyObject **>sr_slot(core, oldest + i))[0] for i in range(count)]
    block = new_block(ring.item_type, count)
    data = <char *>cnp.PyArray_DATA(block)
    for i in range(count):
        memcpy(data + i * ring.itemsize, sr_slot(core, oldest + i), ring.itemsize)
    return block


cdef int reset_after_fork(Sink sink) except -1:
    """In a forked child: the thread that may have entered these sinks is not here."""
    if sr_state_load(&sink.state) == SR_BUSY:
        sr_state_store(&sink.state, SR_OPEN)
    for target in sink.targets():
        reset_after_fork(target)
    return 0


cdef bint work_is_there(const awaited *what) noexcept nogil:
    if (<Worker>what.context).has_failed:  # nothing, until the producer has got the error
        return (<Worker>what.context).is_orphan
    return (
        (<Worker>what.context).request != (<Worker>what.context).served or (<Worker>what.context).is_orphan
        or sr_spsc_available((<Worker>what.context).ring.core) > 0
    )


cdef void await_work(const awaited *what) noexcept nogil:
    if not (<Worker>what.context).has_failed:  # else the producer wakes the thread without being asked
        sr_spsc_await_items((<Worker>what.context).ring.core, 1)


cdef void await_work_no_more(const awaited *what) noexcept nogil:
    sr_cancel_wake(&(<Worker>what.context).ring.core.consumer)


cdef inline bint has_ended(Worker worker) noexcept nogil:
    return worker.has_ended or is_consumer_gone(worker.ring.shared)


cdef bint room_is_there(const awaited *what) noexcept nogil:
    return (
        (<Worker>what.context).has_failed or has_ended(<Worker>what.context)
        or sr_spsc_room((<Worker>what.context).ring.core, 1) > 0
    )


cdef void await_room(const awaited *what) noexcept nogil:
    sr_spsc_await_room((<Worker>what.context).ring.core, 1)


cdef void await_room_no_more(const awaited *what) noexcept nogil:
    sr_cancel_wake(&(<Worker>what.context).ring.core.producer)


cdef bint room_was_made(const void *worker) noexcept nogil:
    """`room_is_there`, but any thread may ask."""
    return (
        (<Worker>worker).has_failed or has_ended(<Worker>worker)
        or sr_spsc_count((<Worker>worker).ring.core) < (<Worker>worker).ring.core.capacity
    )


cdef bint request_is_done(const awaited *what) noexcept nogil:
    return request_was_done(what.context)


cdef bint request_was_done(const void *worker) noexcept nogil:
    return (
        (<Worker>worker).has_failed or (<Worker>worker).request == (<Worker>worker).served
        or has_ended(<Worker>worker)
    )
