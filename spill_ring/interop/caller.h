/* A thread that calls a ring's C interface, and what it is to Python.
 *
 * A thread that Python doesn't know has no thread state, and an exception needs one that lasts until somebody looks at it.
 * So such a thread is made known for the length of a call that may run Python, and made unknown again at its end.
 */
#ifndef SPILL_RING_CALLER_H
#define SPILL_RING_CALLER_H

typedef struct {
    int is_foreign; /* Python didn't know the thread */
    int is_attached; /* sr_enter_python made it known */
    PyGILState_STATE gil;
    PyThreadState *thread;
} sr_caller;

static inline sr_caller sr_enter_python(int may_need)
{
    sr_caller caller = {0};
    caller.is_foreign = PyGILState_GetThisThreadState() == NULL;
    caller.is_attached = caller.is_foreign && may_need;
    if (caller.is_attached) {
        caller.gil = PyGILState_Ensure();
        caller.thread = PyEval_SaveThread();
    }
    return caller;
}

/* Report the exception if the call has failed. */
static inline void sr_leave_python(sr_caller *caller, int has_failed, PyObject *ring)
{
    if (caller->is_attached)
        PyEval_RestoreThread(caller->thread);
    else if (has_failed)
        caller->gil = PyGILState_Ensure();
    if (has_failed)
        PyErr_WriteUnraisable(ring);
    if (has_failed && caller->is_foreign && !caller->is_attached)
        PyGILState_Release(PyGILState_LOCKED); /* what sr_ensure_thread_state took */
    if (has_failed || caller->is_attached)
        PyGILState_Release(caller->gil);
}

#endif
