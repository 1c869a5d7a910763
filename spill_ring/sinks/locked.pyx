"""A lock in front of one sink that several producers share."""
cimport cython
from cpython.object cimport PyObject

from spill_ring._core.cpython cimport PyThread_get_thread_ident
from spill_ring._core.chain cimport drop_user
from spill_ring._core.deadlock cimport (
    SR_CIRCLE, SR_NO_CIRCLE, begin_wait, end_wait, find_circle, raise_circle, sr_wait,
)
from spill_ring._core.lifecycle cimport forks_so_far
from spill_ring.sinks.forwarding cimport ForwardingSink
from spill_ring._core.guard cimport SR_BUSY, SR_CLOSED, SR_MAKING, SR_NEW, sr_state_load
from spill_ring._core.sink cimport TRACED, declare_traits, deliver, deliver_objects
from spill_ring._core.tracing cimport Tracer

import threading


cdef object new_lock = threading.Lock
cdef object PATIENCE = 1.0  # seconds for somebody else to end one of the waits in a possible circle


cdef class LockedSink(ForwardingSink):
    """LockedSink(sink)\n--\n
    A lock in front of one sink that several producers share.

    Parameters
    ----------
    sink : sink
        The sink to share; its items come from one producer at a time, in whole blocks. It is closed
        with the last of their rings.

    Notes
    -----
    **Thread safety.** Any number of threads. A thread that waits releases the GIL. A sink that sends
    back into its own lock gets a `RuntimeError`, not a deadlock, also if it does so in another thread that
    the lock's owner waits for.
    """

    def __init__(self, sink):
        self.attach(sink)
        declare_traits(self, LockedSink, TRACED)
        self.lock = new_lock()
        self.forks = forks_so_far()
        self.open_bound()

    cdef int acquire(self) except -1:
        cdef unsigned long me = PyThread_get_thread_ident()
        with cython.critical_section(self):
            if self.forks != forks_so_far():  # in a child: the thread that held the lock may not exist
                self.lock = new_lock()
                self.owner = 0
                self.forks = forks_so_far()
            lock = self.lock
        if self.owner == me:
            self.raise_for_state(SR_BUSY)
        if not lock.acquire(False):
            self.wait_for_lock(lock)
        self.owner = me
        return 0

    cdef int wait_for_lock(self, object lock) except -1:
        """Acquire a lock that another thread has, unless that thread waits for this one."""
        cdef sr_wait wait
        wait.other, wait.is_over, wait.is_certain = &self.owner, NULL, True
        begin_wait(&wait)
        try:
            if find_circle(&wait) == SR_CIRCLE:
                raise_circle()
            while not lock.acquire(True, PATIENCE):
                if find_circle(&wait) != SR_NO_CIRCLE:
                    raise_circle()
        finally:
            end_wait(&wait)
        return 0

    cdef int release(self) except -1:
        self.owner = 0
        self.lock.release()
        return 0

    cdef int trace(self, Tracer tracer) except -1:
        self.acquire()
        try:
            return tracer.passes_on([self.target], [()])
        finally:
            self.release()

    cdef list undelivered(self, Py_ssize_t n_skipped):
        self.acquire()
        try:
            return self.target.undelivered(n_skipped)
        finally:
            self.release()

    cdef int bind(self, object dtype) except -1:
        """Under the lock too, so that a second ring sends nothing before the first was `attached`."""
        if sr_state_load(&self.state) <= SR_MAKING:
            self.raise_for_state(SR_NEW)
        self.acquire()
        try:
            return ForwardingSink.bind(self, dtype)
        finally:
            self.release()

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        self.acquire()
        try:
            deliver(self.target, items, count, taken)
        finally:
            self.release()
        return 0

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        self.acquire()
        try:
            deliver_objects(self.target, items, count, taken)
        finally:
            self.release()
        return 0

    def flush(self):
        """Flush the target, under the lock."""
        self.acquire()
        try:
            self.target.flush()
        finally:
            self.release()

    def close(self):
        """Close the target, under the lock."""
        if sr_state_load(&self.state) == SR_CLOSED:
            return
        self.acquire()
        try:
            if sr_state_load(&self.state) != SR_CLOSED:  # another thread may have closed it meanwhile
                drop_user(self.target)
                self.mark_closed()
        finally:
            self.release()
