"""Releasing the GIL for code that doesn't need it, in a thread that may not have it."""


cdef extern from "gil.h" nogil:
    ctypedef struct PyThreadState:
        pass
    # Returns NULL if this thread doesn't have the GIL; else what PyEval_RestoreThread needs.
    PyThreadState *sr_release_gil()
    void PyEval_RestoreThread(PyThreadState *thread)
