/* The GIL, for a compiled function that doesn't need it. */
#ifndef SPILL_RING_GIL_H
#define SPILL_RING_GIL_H

/* Release the GIL if this thread has it, and return the thread state with which the caller must take it again. Returns
 * NULL if this thread doesn't have the GIL.
 *
 * Up to CPython 3.11 the first test finds the state of whichever thread has the GIL, so the second one compares it with
 * this thread's. PyGILState_Check can't tell: once there was a subinterpreter, it says yes to every thread. */
static inline PyThreadState *sr_release_gil(void)
{
    PyThreadState *running = __Pyx_PyThreadState_Current;
    return running != NULL && running == PyGILState_GetThisThreadState() ? PyEval_SaveThread() : NULL;
}

#endif
