"""Rings for compiled code that is not Cython's: the functions of their C interface, and the forms it is handed out in.

``include/spill_ring/interface.h`` declares it, and says what holds. The functions here only call those that return a
status, make the thread known to Python where one of those may need it, and report an exception, which a thread that
Python doesn't know has no place for.
"""
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext
from cpython.ref cimport Py_DECREF, Py_INCREF

cimport spill_ring.threads.producer as producer
from spill_ring._core.chain cimport make_atomic
from spill_ring._core.guard cimport SR_MAKING, SR_NEW, sr_state_load
from spill_ring._core.sink cimport Sink, needs_python
from spill_ring._core.status cimport SPILL_RING_FAILED, UNFINISHED
from spill_ring.rings.array cimport ArrayRing
from spill_ring.rings.engine cimport commit_status, pop_status, push_status, reserve_status
from spill_ring.rings.typed cimport TypedRing, finish_push, finish_reserve
from spill_ring.threads.core cimport sr_spsc_count
from spill_ring.threads.producer cimport ProducerSide
from spill_ring.threads.spsc cimport SpscRing, pop_status as pop_status_of_spsc

import ctypes
from pathlib import Path

from spill_ring.interop.include_path import get_include


cdef extern from "caller.h" nogil:
    ctypedef struct sr_caller:
        pass
    sr_caller sr_enter_python(bint may_need)
    void sr_leave_python(sr_caller *caller, bint has_failed, PyObject *ring)

# Functions that return SPILL_RING_FAILED with an exception set, as callers see them that look at the number instead.
ctypedef int (*array_push)(TypedRing ring, const void *items, Py_ssize_t count) noexcept nogil
ctypedef int (*array_reserve)(TypedRing ring, Py_ssize_t count, void **dest) noexcept nogil
ctypedef int (*spsc_push)(ProducerSide ring, const void *items, Py_ssize_t count, bint may_overlap) noexcept nogil
ctypedef int (*spsc_reserve)(ProducerSide ring, Py_ssize_t count, void **dest, bint may_wait) noexcept nogil
ctypedef int (*spsc_commit)(ProducerSide ring, Py_ssize_t count) noexcept nogil


cdef inline bint is_for_python(Sink target) noexcept nogil:
    """May what is sent to this sink, if there is one, need Python?"""
    return target is not None and needs_python(target)


# -- ArrayRing -----------------------------------------------------------------------------------------

cdef int push_to_array(void *state, const void *items, Py_ssize_t count) noexcept nogil:
    cdef int status = push_status(<TypedRing>state, items, count, True)
    return push_to_full_array(<TypedRing>state, items, count) if status == UNFINISHED else status


cdef inline int push_to_full_array(TypedRing ring, const void *items, Py_ssize_t count) noexcept nogil:
    cdef sr_caller caller = sr_enter_python(is_for_python(ring.target))
    cdef int status = (<array_push>finish_push)(ring, items, count)
    sr_leave_python(&caller, status == SPILL_RING_FAILED, <PyObject *>ring)
    return status


cdef Py_ssize_t pop_from_array(void *state, void *out, Py_ssize_t count) noexcept nogil:
    return pop_status(<TypedRing>state, out, count)


cdef Py_ssize_t length_of_array(void *state) noexcept nogil:
    return (<TypedRing>state).count()


cdef int reserve_in_array(void *state, Py_ssize_t count, void **dest) noexcept nogil:
    cdef int status = reserve_status(<TypedRing>state, count, dest)
    return reserve_in_full_array(<TypedRing>state, count, dest) if status == UNFINISHED else status


cdef inline int reserve_in_full_array(TypedRing ring, Py_ssize_t count, void **dest) noexcept nogil:
    cdef sr_caller caller = sr_enter_python(is_for_python(ring.target))
    cdef int status = (<array_reserve>finish_reserve)(ring, count, dest)
    sr_leave_python(&caller, status == SPILL_RING_FAILED, <PyObject *>ring)
    return status


cdef int commit_to_array(void *state, Py_ssize_t count) noexcept nogil:
    return commit_status(<TypedRing>state, count)


# -- SpscRing ------------------------------------------------------------------------------------------

cdef int push_to_spsc(void *state, const void *items, Py_ssize_t count) noexcept nogil:
    cdef int status = producer.push_status(<SpscRing>state, items, count, False)
    return push_to_full_spsc(<SpscRing>state, items, count) if status == UNFINISHED else status


cdef inline int push_to_full_spsc(SpscRing ring, const void *items, Py_ssize_t count) noexcept nogil:
    # In a ring that blocks, only a signal handler can raise, and it runs in the main thread, which Python knows.
    cdef sr_caller caller = sr_enter_python(ring.core.evicts and is_for_python(ring.target))
    cdef int status = (<spsc_push>producer.finish_push)(ring, items, count, False)
    sr_leave_python(&caller, status == SPILL_RING_FAILED, <PyObject *>ring)
    return status


cdef Py_ssize_t pop_from_spsc(void *state, void *out, Py_ssize_t count) noexcept nogil:
    return pop_status_of_spsc(<SpscRing>state, out, count)


cdef Py_ssize_t length_of_spsc(void *state) noexcept nogil:
    return <Py_ssize_t>sr_spsc_count((<SpscRing>state).core)


cdef int reserve_in_spsc(void *state, Py_ssize_t count, void **dest) noexcept nogil:
    cdef int status = producer.reserve_status(<SpscRing>state, count, dest)
    return reserve_in_full_spsc(<SpscRing>state, count, dest) if status == UNFINISHED else status


cdef inline int reserve_in_full_spsc(SpscRing ring, Py_ssize_t count, void **dest) noexcept nogil:
    cdef sr_caller caller = sr_enter_python(ring.core.evicts and is_for_python(ring.target))
    cdef int status = (<spsc_reserve>producer.finish_reserve)(ring, count, dest, False)
    sr_leave_python(&caller, status == SPILL_RING_FAILED, <PyObject *>ring)
    return status


cdef int commit_to_spsc(void *state, Py_ssize_t count) noexcept nogil:
    cdef int status = producer.commit_status(<SpscRing>state, count)
    return commit_block_to_spsc(<SpscRing>state, count) if status == UNFINISHED else status


cdef inline int commit_block_to_spsc(SpscRing ring, Py_ssize_t count) noexcept nogil:
    cdef sr_caller caller = sr_enter_python(True)
    cdef int status = (<spsc_commit>producer.finish_commit)(ring, count)
    sr_leave_python(&caller, status == SPILL_RING_FAILED, <PyObject *>ring)
    return status


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
    make_atomic(ring)  # since callers come in without the GIL
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
    spsc_ring.consumer.ensure_sides_atomic()
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
