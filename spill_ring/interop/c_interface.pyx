"""Rings for compiled code that is not Cython's: the functions of their C interface, and the forms it is handed out in.

``include/spill_ring/interface.h`` declares it, and says what holds. The functions here only call those that return a
status, make the thread known to Python where one of those may need it, and report an exception, which a thread that
Python doesn't know has no place for.
"""
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.limits cimport LLONG_MAX

from spill_ring._core.guard cimport (
    SR_BUSY, SR_CLOSED, SR_FORKED, SR_NEW, SR_OPEN, SR_RESERVED, SR_MAKING, sr_state_store, sr_state_cas, sr_state_load,
)
from spill_ring._core.sink cimport Sink, needs_python
from spill_ring._core.status cimport (
    SPILL_RING_BAD_COUNT, SPILL_RING_CLOSED, SPILL_RING_FAILED, SPILL_RING_FULL, SPILL_RING_IN_USE,
    SPILL_RING_NOT_RESERVED, UNFINISHED,
)
from spill_ring.rings.array cimport ArrayRing
from spill_ring.rings.engine cimport commit_status, pop_status, push_fitting, reserve_fitting
from spill_ring.rings.typed cimport TypedRing, push_entered, reserve_entered
from spill_ring.threads.core cimport (
    SR_FULL, sr_next_slot, sr_spsc, sr_spsc_commit, sr_spsc_count, sr_spsc_has_ended, sr_spsc_has_room, sr_spsc_pop,
)
from spill_ring.threads.producer cimport move_reserved
from spill_ring.threads.spsc cimport SpscRing

import ctypes
from pathlib import Path

from spill_ring.interop.include_path import get_include


cdef extern from "caller.h" nogil:
    ctypedef struct sr_caller:
        pass
    sr_caller sr_enter_python(bint may_need)
    void sr_leave_python(sr_caller *caller, bint has_failed, PyObject *ring)

cdef extern from "spill_ring/spsc.h" nogil:
    # as `spsc.pxd` has them, but the sink's -1 is a number to look at, and no exception to raise
    int push_core "sr_spsc_push"(sr_spsc *ring, const void *items, size_t count, size_t *taken) noexcept
    int reserve_core "sr_spsc_reserve"(sr_spsc *ring, size_t count, void **room, size_t *n_contiguous) noexcept

# Functions that return SPILL_RING_FAILED with an exception set, as callers see them that look at the number instead.
ctypedef int (*array_push)(TypedRing ring, const void *items, Py_ssize_t count) noexcept nogil
ctypedef int (*array_reserve)(TypedRing ring, Py_ssize_t count, void **dest) noexcept nogil
ctypedef int (*spsc_push)(SpscRing ring, const void *items, Py_ssize_t count) noexcept nogil


cdef inline sr_caller enter_python(Sink target) noexcept nogil:
    """Make the thread known to Python if it isn't, and if what is sent to this sink may need that."""
    return sr_enter_python(target is not None and needs_python(target))


cdef int refusal_in(int state) noexcept nogil:
    return SPILL_RING_CLOSED if state == SR_CLOSED else SPILL_RING_IN_USE


# -- ArrayRing -----------------------------------------------------------------------------------------

cdef int push_to_array(void *state, const void *items, Py_ssize_t count) noexcept nogil:
    cdef int status = push_fitting(<TypedRing>state, items, count, True)
    return push_to_full_array(<TypedRing>state, items, count) if status == UNFINISHED else status


cdef inline int push_to_full_array(TypedRing ring, const void *items, Py_ssize_t count) noexcept nogil:
    cdef sr_caller caller = enter_python(ring.target)
    cdef int status = (<array_push>push_entered)(ring, items, count)
    sr_leave_python(&caller, status == SPILL_RING_FAILED, <PyObject *>ring)
    return status


cdef Py_ssize_t pop_from_array(void *state, void *out, Py_ssize_t count) noexcept nogil:
    return pop_status(<TypedRing>state, out, count)


cdef Py_ssize_t length_of_array(void *state) noexcept nogil:
    return (<TypedRing>state).count()


cdef int reserve_in_array(void *state, Py_ssize_t count, void **dest) noexcept nogil:
    cdef int status = reserve_fitting(<TypedRing>state, count, dest)
    return reserve_in_full_array(<TypedRing>state, count, dest) if status == UNFINISHED else status


cdef inline int reserve_in_full_array(TypedRing ring, Py_ssize_t count, void **dest) noexcept nogil:
    cdef sr_caller caller = enter_python(ring.target)
    cdef int status = (<array_reserve>reserve_entered)(ring, count, dest)
    sr_leave_python(&caller, status == SPILL_RING_FAILED, <PyObject *>ring)
    return status


cdef int commit_to_array(void *state, Py_ssize_t count) noexcept nogil:
    return commit_status(<TypedRing>state, count)


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
    return ring.push_entered(items, count, LLONG_MAX, &taken)


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
    if <PyObject *>(<SpscRing>state).fallback_block != <PyObject *>None:  # Python's `with` reserved it
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


cdef class CInterface:
    """What a capsule and its like hold. Made by a ring."""

    def __init__(self):
        raise TypeError("a CInterface is made by a ring's capsule, ctypes or cffi")


cdef CInterface make_interface(object ring):
    cdef CInterface owner = CInterface.__new__(CInterface)
    cdef ArrayRing array_ring
    cdef SpscRing spsc_ring
    state = sr_state_load(&(<Sink?>ring).state)
    if state <= SR_MAKING:
        (<Sink>ring).raise_for_state(SR_NEW)
    owner.ring = ring
    owner.c.version = SPILL_RING_VERSION
    owner.c.size = sizeof(spill_ring_interface)
    owner.c.item_size = (<Sink>ring).itemsize
    owner.c.state = <void *>ring
    owner.c.next = owner.c.stop = &nowhere
    if isinstance(ring, ArrayRing):
        array_ring = ring
        owner.c.push = push_to_array
        owner.c.pop = pop_from_array
        owner.c.length = length_of_array
        owner.c.reserve = reserve_in_array
        owner.c.commit = commit_to_array
        if array_ring.scalar >= 0:
            owner.c.next = &array_ring.cursor
            owner.c.stop = &array_ring.stops[array_ring.scalar]
        return owner
    if not isinstance(ring, SpscRing):
        raise TypeError(f"a {type(ring).__name__} has no C interface; an ArrayRing or SpscRing of numpy items has one")
    spsc_ring = ring
    if spsc_ring.item_type is None:
        raise TypeError(f"a {type(ring).__name__} of objects has no C interface: nobody would hold their references")
    owner.c.push = push_to_spsc
    owner.c.pop = pop_from_spsc
    owner.c.length = length_of_spsc
    owner.c.reserve = reserve_in_spsc
    owner.c.commit = commit_to_spsc
    return owner


cdef void free_capsule(object capsule) noexcept:
    Py_DECREF(<object>PyCapsule_GetContext(capsule))


def capsule_of(ring, /):
    """`ArrayRing.capsule` and `SpscRing.capsule`."""
    cdef CInterface owner = make_interface(ring)
    capsule = PyCapsule_New(&owner.c, SPILL_RING_CAPSULE, free_capsule)
    Py_INCREF(owner)
    PyCapsule_SetContext(capsule, <void *>owner)
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
    cdef CInterface owner = make_interface(ring)
    interface = Interface.from_address(<size_t>&owner.c)
    interface.owner = owner  # a function that is taken from it keeps it alive too
    return interface


cdef object ffi = None


def cffi_of(ring, /):
    """`ArrayRing.cffi` and `SpscRing.cffi`."""
    global ffi
    cdef CInterface owner = make_interface(ring)
    if ffi is None:
        from cffi import FFI  # asked for only here

        declared = FFI()
        getattr(declared, "cdef")(declarations())  # a word of Cython's own
        ffi = declared
    pointer = ffi.cast("spill_ring_interface *", <size_t>&owner.c)
    return ffi.gc(pointer, lambda _, owner=owner: None)  # it lives as long as the function that would free it


cdef str declarations():
    """What the header declares, without the preprocessor's part."""
    text = Path(get_include(), "spill_ring", "interface.h").read_text()
    return text.partition("/* -- what cffi reads -")[2].partition("*/")[2].rpartition("/* -- down to here -")[0]
