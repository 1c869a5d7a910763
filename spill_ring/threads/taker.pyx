"""The thread that took from a ring last, and whether it has ended."""
from spill_ring._core.lifecycle cimport at_fork

import atexit
import threading


cdef extern from "taker.h" nogil:
    int sr_watch_threads()
    void sr_begin_taking(sr_taker *taker, unsigned long thread)
    void sr_forget_taker(sr_taker *taker)
    void sr_end_taking(unsigned long thread, bint is_fork)
    void sr_forget_other_threads(unsigned long thread)


cdef void begin_taking(sr_spsc_state *ring) noexcept nogil:
    sr_begin_taking(&ring.taker, PyThread_get_thread_ident())


cdef void forget_taker(sr_spsc_state *ring) noexcept nogil:
    sr_forget_taker(&ring.taker)


def _end_main_thread():
    """Nothing tells that the main thread ends, so it counts as ended when the interpreter begins to shut down. What
    takes from a ring after that counts again."""
    sr_end_taking(PyThread_get_thread_ident(), False)


def _forget_other_threads():
    sr_forget_other_threads(PyThread_get_thread_ident())


if sr_watch_threads() != 0:
    raise MemoryError("this process has no room for one more thread-local variable")
at_fork(None, _forget_other_threads)
# The functions of `atexit` are called only after the interpreter has waited for all threads, which may wait for this.
getattr(threading, "_register_atexit", atexit.register)(_end_main_thread)
