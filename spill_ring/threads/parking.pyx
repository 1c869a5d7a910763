"""Waiting: a thread sleeps until another one has done something, or an event loop is told of it.

The sleeper pays for everything: it looks for a few microseconds, then stores what it waits for, makes a barrier for
both sides, looks again, and sleeps. The other side only looks whether anyone waits.
"""
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.limits cimport LLONG_MAX

from spill_ring._core.cpython cimport PyThread_get_thread_ident
from spill_ring._core.deadlock cimport (
    SR_CIRCLE, SR_POSSIBLE_CIRCLE, begin_wait, end_wait, find_circle, raise_circle, sr_wait,
)
from spill_ring._core.gil cimport PyEval_RestoreThread, PyThreadState, sr_release_gil
from spill_ring._core.guard cimport SR_BUSY, SR_OPEN, sr_state_store, sr_state_cas
from spill_ring._core.lifecycle cimport at_fork
from spill_ring.threads.core cimport sr_relax

import math
import os
import threading


cdef extern from "parking.h" nogil:
    long long sr_now_ns()
    bint sr_process_barrier()
    unsigned sr_wake_count(sr_parking *parking)
    void sr_sleep(sr_parking *parking, unsigned wakes, long long ns)
    void sr_set_wake_fd(sr_parking *parking, int fd)
    void sr_wake_parked(void *parking)


cdef object ZERO = 0
cdef long long FOREVER = LLONG_MAX
cdef long long SPIN = 10_000  # ns; about what going to sleep and being woken costs
# A signal that arrives just before the sleep doesn't end it, so no sleep is longer than this.
cdef long long MAX_SLEEP = 100_000_000
cdef long long PATIENCE = 1_000_000_000  # for somebody else to end one of the waits in a circle
cdef long long UNSURE_SLEEP = 50_000  # without a barrier a wake may be missed


cdef class Parking:
    """The place where one side of a ring sleeps. Not made by hand."""

    def __cinit__(self):
        self.read_fd = self.write_fd = -1
        self.listening = SR_OPEN
        self.place = <sr_parking *>PyMem_RawCalloc(1, sizeof(sr_parking))
        if self.place == NULL:
            raise MemoryError("no memory for a place to wait at")
        sr_set_wake_fd(self.place, -1)

    def __dealloc__(self):
        self.close()
        PyMem_RawFree(self.place)

    cdef int close(self) except -1:
        if self.read_fd >= 0:
            os.close(self.read_fd)
            if self.write_fd != self.read_fd:
                os.close(self.write_fd)
        self.read_fd = self.write_fd = -1
        return 0

    cdef int fileno(self) except -2:
        """The descriptor that becomes readable with a wake, for an event loop; -1 on Windows, whose loops can't wait
        for one. It is closed only with the parking: a late wake must not write to a file that was opened meanwhile."""
        if self.pid != os.getpid():  # after a fork, or the first time
            self.close()
            self.unlisten()
            self.pid = os.getpid()
            if hasattr(os, "eventfd"):
                self.read_fd = self.write_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            elif os.name != "nt":
                self.read_fd, self.write_fd = os.pipe()
                os.set_blocking(self.read_fd, False)
                os.set_blocking(self.write_fd, False)
        return self.read_fd

    cdef bint listen(self) noexcept nogil:
        """Have wakes written to the descriptor. False: another event loop listens already, and will read them."""
        if sr_state_cas(&self.listening, SR_OPEN, SR_BUSY) != SR_OPEN:
            return False
        sr_set_wake_fd(self.place, self.write_fd)
        return True

    cdef void unlisten(self) noexcept nogil:
        sr_set_wake_fd(self.place, -1)
        sr_state_store(&self.listening, SR_OPEN)

    cdef void wake(self) noexcept nogil:
        sr_wake_parked(self.place)


def poll_interval():
    """Seconds after which an event loop has to look by itself; None if a wake is never missed."""
    return None if sr_process_barrier() else 0.001


cdef bint arm_wake(const awaited *what) noexcept nogil:
    what.arm(what)
    sr_process_barrier()
    if what.is_there(what):
        what.disarm(what)
        return True
    return False


cdef bint wait_for(Parking parking, const awaited *what, long long deadline) except -1 nogil:
    cdef PyThreadState *thread
    if what.is_there(what):
        return True
    if deadline == NO_WAIT:
        return False
    thread = sr_release_gil()  # also if a sink waits: the thread that it waits for may need the GIL
    try:
        return sleep_for(parking, what, deadline)
    finally:
        if thread != NULL:
            PyEval_RestoreThread(thread)


cdef bint sleep_for(Parking parking, const awaited *what, long long deadline) except -1 nogil:
    cdef long long start = sr_now_ns()
    cdef long long now = start
    cdef sr_wait wait
    while now - start < SPIN and now < deadline:
        sr_relax()
        if what.is_there(what):
            return True
        now = sr_now_ns()
    if what.other == NULL or deadline != FOREVER:
        return park(parking, what, deadline, NULL)
    wait.other, wait.is_over, wait.context, wait.is_certain = what.other, what.is_over, what.context, what.is_certain
    begin_wait(&wait)
    try:
        return park(parking, what, deadline, &wait)
    finally:
        end_wait(&wait)


cdef bint park(Parking parking, const awaited *what, long long deadline, const sr_wait *wait) except -1 nogil:
    """Sleep, and look each time that the sleep ends."""
    cdef unsigned wakes
    cdef bint is_sure
    cdef long long start = sr_now_ns()
    cdef long long now = start
    while now < deadline:
        if wait != NULL:
            check_circle(wait, now - start)
        wakes = sr_wake_count(parking.place)  # before the look: a wake after this load ends the sleep at once
        what.arm(what)
        is_sure = sr_process_barrier()
        if not what.is_there(what):
            sr_sleep(parking.place, wakes, min(deadline - now, MAX_SLEEP if is_sure else UNSURE_SLEEP))
        what.disarm(what)
        if what.is_there(what):
            return True
        if PyThread_get_thread_ident() == main_thread:
            run_signal_handlers()
        now = sr_now_ns()
    return what.is_there(what)


cdef int check_circle(const sr_wait *wait, long long waited) except -1 nogil:
    cdef int found = find_circle(wait)
    if found == SR_CIRCLE or found == SR_POSSIBLE_CIRCLE and waited >= PATIENCE:
        raise_circle()
    return 0


# Signal handlers run in the main thread. Another thread must not even ask for the GIL: it may be a daemon that is still
# asleep when the interpreter is gone.
cdef unsigned long main_thread = threading.main_thread().ident


def _after_fork_in_child():
    global main_thread
    main_thread = PyThread_get_thread_ident()


at_fork(None, _after_fork_in_child)


cdef int run_signal_handlers() except -1 with gil:
    PyErr_CheckSignals()
    return 0


cdef long long deadline_of(object timeout) except -1:
    cdef double seconds
    if timeout is None:
        return FOREVER
    try:
        seconds = timeout
    except OverflowError:  # an int larger than any float
        seconds = math.inf if timeout > 0 else -1
    except TypeError:
        raise TypeError(f"timeout must be a number of seconds, or None to wait for ever; not {timeout!r}") from None
    if not seconds >= 0:  # or NaN
        raise ValueError(f"timeout must be None or a number of seconds, at least 0; not {timeout!r}")
    if seconds == 0:
        return NO_WAIT
    if seconds > 9e9:
        return FOREVER
    return sr_now_ns() + <long long>(seconds * 1e9)
