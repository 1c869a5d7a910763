"""A thread of its own for a sink, so that a slow one never holds up the producer."""
from cpython.object cimport PyObject

from spill_ring.guard cimport SR_CLOSED, SR_OPEN, sr_add, sr_leave, sr_state
from spill_ring.park cimport FOREVER, awaited, wait_for
from spill_ring.ring cimport capacity_of, flush_at_exit
from spill_ring.sink cimport ForwardingSink, forks_so_far, hang_up, warn_lost
from spill_ring.spsc_ring cimport (
    SpscRing, empty_trash, objects_out, sr_await_no_more, sr_spsc_await_items, sr_spsc_await_room, sr_spsc_available, sr_spsc_count,
    sr_spsc_room, sr_spsc_try_push,
)

import threading
import warnings
from queue import Full


cdef extern from *:
    const Py_ssize_t PY_SSIZE_T_MAX


cdef enum:
    NOTHING
    FLUSH
    CLOSE
    STOP


cdef class Worker:
    """What the thread holds. Not the sink itself: one that is dropped must be seen to be."""

    cdef int work(self) except -1:
        cdef awaited something
        cdef int request
        something.context = <void *>self
        something.is_there, something.arm, something.disarm = work_is_there, await_work, await_work_no_more
        while True:
            wait_for(self.ring.consumer_parking, &something, FOREVER)
            request = self.request  # before the look: what was sent before a flush is flushed
            try:
                if sr_spsc_available(self.ring.core):
                    self.send()
                    continue
                if request == CLOSE:
                    hang_up(self.target)
                elif sr_state(&self.target.state) != SR_CLOSED:
                    self.target.flush()
            except BaseException as error:
                if self.is_orphan:
                    warn_lost(self.target, sr_spsc_count(self.ring.core), error)
                else:
                    self.tell(error)
                    continue
            self.has_ended = request != FLUSH
            self.request = NOTHING
            self.ring.producer_parking.wake()
            if request != FLUSH:
                return 0

    cdef int send(self) except -1:
        cdef objects_out out = objects_out(NULL, NULL, 0, 0)
        try:
            self.ring.move_to(self.target, PY_SSIZE_T_MAX, &out)
        finally:
            empty_trash(&out)
        return 0

    cdef int tell(self, object error) except -1:
        """Wait until the producer has seen an error. What the sink didn't take is held, and tried again then."""
        self.error = error
        self.has_failed = True
        self.ring.producer_parking.wake()
        self.retry.wait()
        self.retry.clear()
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
        Whatever the sink raises reaches the producer at its next call, which then has sent nothing. What
        the sink didn't take is kept, and it is tried again after that.

    Notes
    -----
    `flush` returns when everything is through and the sink is flushed. What still waits at the end of the
    interpreter, or when the sink is dropped, is sent on first. A forked child has its own copy of the items, and no
    thread: it says so with a `RuntimeWarning` when it is used there, and starts one. **Thread safety.** One
    producer at a time; a second is refused with `RuntimeError`.

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
        self.capacity = size
        self.is_blocking = overflow == "block"
        self.adopt()

    cdef int fit(self, object dtype) except -1:
        worker = Worker()
        worker.ring = SpscRing(self.capacity, dtype, overflow="reject")
        worker.target = self.target
        self.worker = worker
        return 0

    cdef bint is_running(self) noexcept nogil:
        return self.forks == forks_so_far() and not self.worker.has_ended

    cdef int start(self) except -1 with gil:
        if self.forks >= 0 and not self.worker.has_ended:
            warnings.warn(
                f"{self!r} was forked without its thread; this process starts a new one", RuntimeWarning, stacklevel=1
            )
        self.worker.has_failed = False
        self.worker.has_ended = False
        self.worker.request = NOTHING
        self.worker.retry = threading.Event()
        self.thread = threading.Thread(
            target=work, args=(self.worker,), name=f"BackgroundSink of {type(self.target).__name__}", daemon=True
        )
        self.thread.start()
        self.forks = forks_so_far()
        flush_at_exit(self)  # the thread is a daemon: it ends with the interpreter
        return 0

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        cdef awaited room
        cdef Py_ssize_t put
        if not self.is_running():
            self.start()
        room.context, room.count = <void *>self.worker, 1
        room.is_there, room.arm, room.disarm = room_is_there, await_room, await_room_no_more
        while True:
            if self.worker.has_failed:
                self.raise_error()
            put = self.offer(items, count)
            items = <const char *>items + put * self.worker.ring.itemsize
            count -= put
            taken[0] += put
            if count == 0:
                return 0
            if not self.is_blocking:
                return self.refuse_full(count)
            wait_for(self.worker.ring.producer_parking, &room, FOREVER)

    cdef Py_ssize_t offer(self, const void *items, Py_ssize_t count) except -1 nogil:
        if self.worker.ring.slots == NULL:
            return <Py_ssize_t>sr_spsc_try_push(self.worker.ring.core, items, count)
        with gil:
            return self.worker.ring.try_objects(<PyObject **>items, count)

    cdef int raise_error(self) except -1 with gil:
        error, self.worker.error = self.worker.error, None
        self.worker.has_failed = False
        self.worker.retry.set()
        raise error

    cdef int refuse_full(self, Py_ssize_t count) except -1 with gil:
        raise Full(f"{self!r} has no room for {count} more items: it waits for its sink")

    cdef int ask(self, int request) except -1:
        """Have the thread do something, and wait until it has. The sink is entered."""
        cdef awaited done
        done.context = <void *>self.worker
        done.is_there, done.arm, done.disarm = request_is_done, do_nothing, do_nothing
        if self.worker.has_failed:
            self.raise_error()
        self.worker.request = request
        self.worker.ring.consumer_parking.wake()
        wait_for(self.worker.ring.producer_parking, &done, FOREVER)
        if self.worker.has_failed:
            self.worker.request = NOTHING
            self.raise_error()
        return 0

    def flush(self):
        """Wait until everything is through, and the sink behind is flushed."""
        self.enter()
        try:
            if self.worker is not None and not self.is_running() and len(self):
                self.start()
            if self.worker is not None and self.is_running():
                self.ask(FLUSH)
            else:
                self.target.flush()
        finally:
            self.leave()

    def close(self):
        """Wait until everything is through, close the sink behind, and end the thread."""
        cdef int state = SR_OPEN
        if sr_state(&self.state) == SR_CLOSED:
            return
        self.enter()
        try:
            if self.worker is not None and not self.is_running() and len(self):
                self.start()
            if self.worker is not None and self.is_running():
                self.ask(CLOSE)
                self.thread.join()
            elif self.worker is None or not self.worker.has_ended:
                hang_up(self.target)
            state = SR_CLOSED
        finally:
            sr_leave(&self.state, state)

    def __del__(self):
        if self.worker is None or sr_state(&self.state) == SR_CLOSED or not self.is_running():
            return
        sr_add(&self.target.users, -1)
        self.worker.is_orphan = True
        self.worker.request = STOP
        self.worker.retry.set()
        self.worker.ring.consumer_parking.wake()
        if threading.current_thread() is not self.thread:
            self.thread.join()

    cdef bint is_owing(self) noexcept:
        return sr_state(&self.state) == SR_OPEN and self.worker is not None and sr_spsc_count(self.worker.ring.core) > 0

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


cdef bint work_is_there(const awaited *what) noexcept nogil:
    return (<Worker>what.context).request != NOTHING or sr_spsc_available((<Worker>what.context).ring.core) > 0


cdef void await_work(const awaited *what) noexcept nogil:
    sr_spsc_await_items((<Worker>what.context).ring.core, 1)


cdef void await_work_no_more(const awaited *what) noexcept nogil:
    sr_await_no_more(&(<Worker>what.context).ring.core.consumer)


cdef bint room_is_there(const awaited *what) noexcept nogil:
    return (<Worker>what.context).has_failed or sr_spsc_room((<Worker>what.context).ring.core, 1) > 0


cdef void await_room(const awaited *what) noexcept nogil:
    sr_spsc_await_room((<Worker>what.context).ring.core, 1)


cdef void await_room_no_more(const awaited *what) noexcept nogil:
    sr_await_no_more(&(<Worker>what.context).ring.core.producer)


cdef bint request_is_done(const awaited *what) noexcept nogil:
    return (<Worker>what.context).has_failed or (<Worker>what.context).request == NOTHING


cdef void do_nothing(const awaited *what) noexcept nogil:
    """The thread wakes whoever waits for it in any case."""
