"""Rings for compiled code that is not Cython's: the functions of their C interface, and the forms it is handed out in.

``include/spill_ring/interface.h`` declares it, and says what holds. Errors are numbers here: each function enters its
ring itself, since a thread that Python doesn't know has no place for the exception that a ring would raise.
"""
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.limits cimport LLONG_MAX

from spill_ring.rings.array cimport ArrayRing
from spill_ring._core.guard cimport (
    SR_WINDOW, SR_BUSY, SR_CLOSED, SR_FORKED, SR_NEW, SR_OPEN, SR_RESERVED, SR_MAKING, sr_state_store, sr_state_cas, sr_state_load,
)
from spill_ring._core.sink cimport Sink, needs_python
from spill_ring.threads.core cimport (
    SR_FULL, sr_next_slot, sr_spsc, sr_spsc_commit, sr_spsc_count, sr_spsc_has_ended, sr_spsc_has_room, sr_spsc_pop,
)
from spill_ring.threads.spsc cimport SpscRing, move_reserved

import ctypes
from pathlib import Path

from spill_ring.interop.headers import get_include


cdef extern from * nogil:
    """
    /* The thread that calls. If it is one that Python doesn't know, and Python may be needed, it is made known until
     * the call returns: for shorter, an exception would be gone with its thread state. */
    typedef struct {
        int is_foreign, is_attached;
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
    """
    ctypedef struct sr_caller:
        pass
    sr_caller sr_enter_python(bint may_need)
    void sr_leave_python(sr_caller *caller, bint has_failed, PyObject *ring)

cdef extern from "spill_ring/spsc.h" nogil:
    # as `spsc.pxd` has them, but the sink's -1 is a number to look at, and no exception to raise
    int push_core "sr_spsc_push"(sr_spsc *ring, const void *items, size_t count, size_t *taken) noexcept
    int reserve_core "sr_spsc_reserve"(sr_spsc *ring, size_t count, void **room, size_t *n_contiguous) noexcept

# The same for functions of ours: they raise, and who calls them so looks at what they return.
ctypedef int (*array_push)(ArrayRing ring, const void *items, Py_ssize_t count) noexcept nogil
ctypedef void *(*array_reserve)(ArrayRing ring, Py_ssize_t count) noexcept nogil
ctypedef int (*spsc_push)(SpscRing ring, const void *items, Py_ssize_t count) noexcept nogil


cdef int refusal_in(int state) noexcept nogil:
    return SPILL_RING_CLOSED if state == SR_CLOSED else SPILL_RING_IN_USE


# -- ArrayRing -----------------------------------------------------------------------------------------

cdef int enter_array(ArrayRing ring) noexcept nogil:
    cdef int found = ring.try_enter()
    return 0 if found == SR_OPEN else refusal_in(found)


cdef int push_to_array(void *state, const void *items, Py_ssize_t count) noexcept nogil:
    cdef int error
    if count < 0:
        return SPILL_RING_BAD_COUNT
    error = enter_array(<ArrayRing>state)
    return error if error else push_entered(<ArrayRing>state, items, count)


cdef inline int push_entered(ArrayRing ring, const void *items, Py_ssize_t count) noexcept nogil:
    cdef sr_caller caller
    cdef int error
    if ring.evicts_nothing(count):
        ring.write(items, count)
        if count == 1 and ring.scalar >= 0:
            ring.open_push_window()
        else:
            ring.leave()
        return 0
    if ring.target is None:
        return (<array_push>push_over)(ring, items, count)  # raises nothing
    caller = sr_enter_python(needs_python(ring.target))
    error = (<array_push>push_over)(ring, items, count)
    sr_leave_python(&caller, error != 0, <PyObject *>ring)
    return error


cdef int push_over(ArrayRing ring, const void *items, Py_ssize_t count) except -1 nogil:
    return ring.push_over(items, count)


cdef Py_ssize_t pop_from_array(void *state, void *out, Py_ssize_t count) noexcept nogil:
    cdef int error
    if count < 0:
        return SPILL_RING_BAD_COUNT
    error = enter_array(<ArrayRing>state)
    return error if error else (<ArrayRing>state).pop_over(out, count)


cdef Py_ssize_t length_of_array(void *state) noexcept nogil:
    return (<ArrayRing>state).count()


cdef int reserve_in_array(void *state, Py_ssize_t count, void **room) noexcept nogil:
    cdef int error
    if not 0 <= count <= (<ArrayRing>state).size:
        return SPILL_RING_BAD_COUNT
    error = enter_array(<ArrayRing>state)
    return error if error else reserve_entered(<ArrayRing>state, count, room)


cdef inline int reserve_entered(ArrayRing ring, Py_ssize_t count, void **room) noexcept nogil:
    cdef sr_caller caller
    if ring.target is None or ring.evicts_nothing(count):
        room[0] = (<array_reserve>reserve_over)(ring, count)
        return 0
    caller = sr_enter_python(needs_python(ring.target))
    room[0] = (<array_reserve>reserve_over)(ring, count)
    sr_leave_python(&caller, room[0] == NULL, <PyObject *>ring)
    return SPILL_RING_FAILED if room[0] == NULL else 0


cdef void *reserve_over(ArrayRing ring, Py_ssize_t count) except NULL nogil:
    return ring.reserve_over(count)


cdef int commit_to_array(void *state, Py_ssize_t count) noexcept nogil:
    cdef int found = sr_state_cas(&(<ArrayRing>state).state, SR_RESERVED, SR_BUSY)
    if found != SR_RESERVED:
        return SPILL_RING_NOT_RESERVED if found == SR_OPEN or found == SR_WINDOW else refusal_in(found)
    if not 0 <= count <= (<ArrayRing>state).reserved:
        sr_state_store(&(<ArrayRing>state).state, SR_RESERVED)
        return SPILL_RING_BAD_COUNT
    (<ArrayRing>state).commit_reserved(count)  # raises nothing: the count is right
    return 0


# -- SpscRing ------------------------------------------------------------------------------------------

cdef int enter_side(int *state) noexcept nogil:
    cdef int found = sr_state_cas(state, SR_OPEN, SR_BUSY)
    if found == SR_OPEN or found == SR_FORKED and sr_state_cas(state, SR_FORKED, SR_BUSY) == SR_FORKED:
        return 0
    return refusal_in(found)


cdef int push_to_spsc(void *state, const void *items, Py_ssize_t count) noexcept nogil:
    cdef int error
    if count < 0:
        return SPILL_RING_BAD_COUNT
    error = enter_side(&(<SpscRing>state).state)
    if error:
        return error
    error = push_inside(<SpscRing>state, items, count)
    (<SpscRing>state).leave()
    return error


cdef inline int push_inside(SpscRing ring, const void *items, Py_ssize_t count) noexcept nogil:
    cdef sr_caller caller
    cdef size_t taken = 0
    cdef int error
    if ring.is_blocking:
        # Only a signal handler can raise, and that runs in the main thread, which Python knows.
        error = (<spsc_push>push_waiting)(ring, items, count)
        if error:
            caller = sr_enter_python(False)
            sr_leave_python(&caller, True, <PyObject *>ring)
        return error
    if ring.core.sink == NULL or not ring.core.evicts or sr_spsc_has_room(ring.core, count):
        return SPILL_RING_FULL if push_core(ring.core, items, count, &taken) == SR_FULL else 0
    caller = sr_enter_python(needs_python(ring.target))
    error = push_core(ring.core, items, count, &taken)
    sr_leave_python(&caller, error != 0, <PyObject *>ring)
    return error


cdef int push_waiting(SpscRing ring, const void *items, Py_ssize_t count) except -1 nogil:
    cdef Py_ssize_t taken = 0
    return ring.put(items, count, LLONG_MAX, &taken)


cdef Py_ssize_t pop_from_spsc(void *state, void *out, Py_ssize_t count) noexcept nogil:
    cdef int error
    cdef bint has_ended
    if count < 0:
        return SPILL_RING_BAD_COUNT
    error = enter_side(&(<SpscRing>state).shared.consumer.state)
    if error:
        return error
    has_ended = sr_spsc_has_ended((<SpscRing>state).core)
    count = <Py_ssize_t>sr_spsc_pop((<SpscRing>state).core, out, count)
    (<SpscRing>state).leave_consumer()
    return SPILL_RING_CLOSED if has_ended else count


cdef Py_ssize_t length_of_spsc(void *state) noexcept nogil:
    return <Py_ssize_t>sr_spsc_count((<SpscRing>state).core)


cdef int reserve_in_spsc(void *state, Py_ssize_t count, void **room) noexcept nogil:
    cdef int error
    if not 0 <= count <= (<SpscRing>state).size:
        return SPILL_RING_BAD_COUNT
    error = enter_side(&(<SpscRing>state).state)
    return error if error else reserve_inside(<SpscRing>state, count, room)


cdef inline int reserve_inside(SpscRing ring, Py_ssize_t count, void **room) noexcept nogil:
    cdef int error = make_room(ring, count, room)
    if error == 0:
        ring.reserved = count
        ring.reservations += 1
    sr_state_store(&ring.state, SR_OPEN if error else SR_RESERVED)
    return error


cdef inline int make_room(SpscRing ring, Py_ssize_t count, void **room) noexcept nogil:
    cdef sr_caller caller
    cdef size_t n_contiguous  # what lies beyond the memory's end `commit` carries to its start
    cdef int error
    if ring.core.sink == NULL or not ring.core.evicts or sr_spsc_has_room(ring.core, count):
        return SPILL_RING_FULL if reserve_core(ring.core, count, room, &n_contiguous) == SR_FULL else 0
    caller = sr_enter_python(needs_python(ring.target))
    error = reserve_core(ring.core, count, room, &n_contiguous)
    sr_leave_python(&caller, error == SPILL_RING_FAILED, <PyObject *>ring)
    return SPILL_RING_FULL if error == SR_FULL else error


cdef int commit_to_spsc(void *state, Py_ssize_t count) noexcept nogil:
    cdef int *place = &(<SpscRing>state).state
    cdef int found = move_reserved(place)
    if found != SR_RESERVED:
        return SPILL_RING_NOT_RESERVED if found == SR_OPEN else refusal_in(found)
    if <PyObject *>(<SpscRing>state).aside != <PyObject *>None:  # Python's `with` reserved it
        sr_state_store(place, SR_RESERVED)
        return SPILL_RING_NOT_RESERVED
    if not 0 <= count <= (<SpscRing>state).reserved:
        sr_state_store(place, SR_RESERVED)
        return SPILL_RING_BAD_COUNT
    commit_inside(<SpscRing>state, count)
    return 0


cdef inline void commit_inside(SpscRing ring, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t offset = <unsigned char *>sr_next_slot(ring.core) - ring.core.items
    ring.reserved = 0
    ring.storage.complete_write(offset, count * ring.itemsize)
    sr_spsc_commit(ring.core, count)
    ring.leave()


# -- handing it out ------------------------------------------------------------------------------------

cdef char *nowhere = NULL


cdef class Door:
    """What a capsule and its like hold. Made by a ring."""

    def __init__(self):
        raise TypeError("a Door is made by a ring's capsule, ctypes or cffi")


cdef Door open_door(object ring):
    cdef Door door = Door.__new__(Door)
    cdef ArrayRing array_ring
    cdef SpscRing spsc_ring
    state = sr_state_load(&(<Sink?>ring).state)
    if state <= SR_MAKING:
        (<Sink>ring).raise_for_state(SR_NEW)
    door.ring = ring
    door.c.version = SPILL_RING_VERSION
    door.c.size = sizeof(spill_ring_interface)
    door.c.item_size = (<Sink>ring).itemsize
    door.c.state = <void *>ring
    door.c.next = door.c.stop = &nowhere
    if isinstance(ring, ArrayRing):
        array_ring = ring
        door.c.push = push_to_array
        door.c.pop = pop_from_array
        door.c.length = length_of_array
        door.c.reserve = reserve_in_array
        door.c.commit = commit_to_array
        if array_ring.scalar >= 0:
            door.c.next = &array_ring.cursor
            door.c.stop = &array_ring.stops[array_ring.scalar]
        return door
    if not isinstance(ring, SpscRing):
        raise TypeError(f"a {type(ring).__name__} has no C interface; an ArrayRing or SpscRing of numpy items has one")
    spsc_ring = ring
    if spsc_ring.item_type is None:
        raise TypeError(f"a {type(ring).__name__} of objects has no C interface: nobody would hold their references")
    door.c.push = push_to_spsc
    door.c.pop = pop_from_spsc
    door.c.length = length_of_spsc
    door.c.reserve = reserve_in_spsc
    door.c.commit = commit_to_spsc
    return door


cdef void let_go(object capsule) noexcept:
    Py_DECREF(<object>PyCapsule_GetContext(capsule))


def capsule_of(ring, /):
    """`ArrayRing.capsule` and `SpscRing.capsule`."""
    cdef Door door = open_door(ring)
    capsule = PyCapsule_New(&door.c, SPILL_RING_CAPSULE, let_go)
    Py_INCREF(door)
    PyCapsule_SetContext(capsule, <void *>door)
    return capsule


cdef object in_c = ctypes.CFUNCTYPE
cdef object pointer = ctypes.c_void_p
cdef object count = ctypes.c_ssize_t


class Interface(ctypes.Structure):
    """A ring's C interface, as ``ring.ctypes``; ``spill_ring/interface.h`` explains each field.

    ``interface.push(interface.state, items.ctypes, len(items))`` is the call, in a numba function as in Python, where
    it goes without the GIL. It takes any pointer; `state`, `next` and `stop` are addresses.
    """

    _fields_ = (
        ("version", ctypes.c_int),
        ("size", ctypes.c_size_t),
        ("item_size", count),
        ("state", pointer),
        ("push", in_c(ctypes.c_int, pointer, pointer, count)),
        ("pop", in_c(count, pointer, pointer, count)),
        ("length", in_c(count, pointer)),
        ("reserve", in_c(ctypes.c_int, pointer, count, pointer)),
        ("commit", in_c(ctypes.c_int, pointer, count)),
        ("next", pointer),
        ("stop", pointer),
    )


def ctypes_of(ring, /):
    """`ArrayRing.ctypes` and `SpscRing.ctypes`."""
    cdef Door door = open_door(ring)
    interface = Interface.from_address(<size_t>&door.c)
    interface.door = door  # a function that is taken from it keeps it alive too
    return interface


cdef object ffi = None


def cffi_of(ring, /):
    """`ArrayRing.cffi` and `SpscRing.cffi`."""
    global ffi
    cdef Door door = open_door(ring)
    if ffi is None:
        from cffi import FFI  # asked for only here

        declared = FFI()
        getattr(declared, "cdef")(declarations())  # a word of Cython's own
        ffi = declared
    pointer = ffi.cast("spill_ring_interface *", <size_t>&door.c)
    return ffi.gc(pointer, lambda _, door=door: None)  # it lives as long as the function that would free it


cdef str declarations():
    """What the header declares, without the preprocessor's part."""
    text = Path(get_include(), "spill_ring", "interface.h").read_text()
    return text.partition("/* -- what cffi reads -")[2].partition("*/")[2].rpartition("/* -- down to here -")[0]
