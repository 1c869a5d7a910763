"""Compiled functions as sinks: from ctypes, scipy, numba and capsules, called without the GIL."""
import ctypes
import gc
import sys
import threading
import weakref

import numpy as np
import pytest

from helpers.memory import thread_states
from spill_ring import ArrayRing, FnSink, ObjectRing, SpscRing, TeeSink

SIGNATURE = "int (const void *items, ptrdiff_t count, void *user_data)"
ARGUMENTS = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_void_p]
RINGS = [ArrayRing, SpscRing]
FAILED = -1


class Gathered(ctypes.Structure):
    _fields_ = (("total", ctypes.c_double), ("calls", ctypes.c_ssize_t), ("count", ctypes.c_ssize_t),
                ("refuses", ctypes.c_int), ("had_gil", ctypes.c_int))  # fmt: skip


USER_DATA = []  # for good: a ring that is dropped sends what is left


def user_data(**fields):
    made = Gathered(**fields)
    USER_DATA.append(made)
    return made


@pytest.fixture(scope="module")
def library(native_sinks):
    library = ctypes.CDLL(native_sinks.__file__)
    library.gather.argtypes = library.refuse.argtypes = ARGUMENTS
    return library


@pytest.fixture(params=["capsule", "callable of a capsule", "callable of ctypes"])
def gathering(request, native_sinks, library):
    """Makes the C function `gather`, in one of the forms that have user data; and the user data."""
    def make():
        gathered = user_data()
        if request.param == "capsule":
            return native_sinks.capsule(SIGNATURE, ctypes.addressof(gathered)), gathered
        scipy = pytest.importorskip("scipy")
        function = library.gather if request.param == "callable of ctypes" else native_sinks.capsule(SIGNATURE, 0)
        return scipy.LowLevelCallable(function, ctypes.cast(ctypes.pointer(gathered), ctypes.c_void_p)), gathered

    return make


@pytest.fixture
def unraisable(monkeypatch):
    found = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: found.append(repr(unraisable.exc_value)))
    return found


# -- what is called, and what it gets --------------------------------------------------------------------


@pytest.mark.parametrize("kind", RINGS)
@pytest.mark.parametrize("wraps", [FnSink, lambda function: function])
def test_it_gets_what_is_evicted(kind, wraps, gathering, memory):
    function, gathered = gathering()
    ring = kind(4, "f8", wraps(function))
    ring.extend(range(10))
    ring.push(10.0)
    assert (gathered.total, gathered.count) == (sum(range(7)), 7)
    assert ring.flush() == 4 and gathered.total == sum(range(11))
    ring.close()
    assert ring.stats == (11, 0, 11, 0) and not gathered.had_gil


def test_it_gets_blocks(gathering):
    function, gathered = gathering()
    ring = ArrayRing(1000, sink=TeeSink(ArrayRing(10, sink=function), FnSink(function)))
    ring.extend(range(1000))
    ring.extend(range(1000))
    assert (gathered.calls, gathered.count) == (2, 990 + 1000)


@pytest.mark.slow
@pytest.mark.not_sanitized
def test_numba(memory):
    numba = pytest.importorskip("numba")

    @numba.cfunc("int32(CPointer(float64), intp, voidptr)")
    def gather(items, count, user_data):
        block = numba.carray(items, count)
        return 0 if block.sum() < 1000 else 9

    for given in (gather, gather.ctypes, FnSink(gather)):
        ring = ArrayRing(4, sink=given)
        ring.extend(range(8))
        assert ring.stats.spilled == 4
        with pytest.raises(RuntimeError, match="returned 9, and has taken none of 1 items"):
            ring.extend([1000, 1, 1, 1, 1])


@pytest.mark.slow
@pytest.mark.not_sanitized
def test_numba_of_void_pointers():
    numba = pytest.importorskip("numba")
    total = np.zeros(1)

    @numba.cfunc("int32(voidptr, intp, voidptr)")
    def gather(items, count, user_data):
        numba.carray(user_data, 1, np.float64)[0] += numba.carray(items, count, np.float64).sum()
        return 0

    scipy = pytest.importorskip("scipy")
    address = ctypes.c_void_p(total.ctypes.data)
    ring = ArrayRing(4, sink=scipy.LowLevelCallable(gather.ctypes, address))
    ring.extend(range(8))
    ring.close()
    assert total[0] == sum(range(8))


def test_a_function_of_ctypes_gets_no_user_data(library):
    ring = ArrayRing(4, sink=library.refuse)
    with pytest.raises(RuntimeError, match="returned 5,"):
        ring.extend(range(8))


def test_other_threads_go_on_meanwhile():
    """The function waits for a thread that needs the GIL."""
    came = threading.Event()
    entered = threading.Event()

    @ctypes.CFUNCTYPE(ctypes.c_int, *ARGUMENTS)
    def wait(items, count, user_data):
        entered.set()
        return 0 if came.wait(30) else 1

    def come():
        entered.wait(30)
        came.set()

    thread = threading.Thread(target=come, daemon=True)
    thread.start()
    ring = ArrayRing(1, sink=wait)
    ring.extend([1.0, 2.0])
    thread.join()
    assert ring.stats.spilled == 1


@pytest.mark.parametrize("kind", RINGS)
@pytest.mark.parametrize("block", [0, 1, 64])
def test_a_thread_of_c_pushes(kind, block, native_sinks, pthread_client):
    gathered = user_data()
    function = native_sinks.capsule(SIGNATURE, ctypes.addressof(gathered))
    for sink in (function, ArrayRing(8, sink=function)):
        gathered.count = gathered.total = 0
        ring = kind(100, "f8", sink)
        assert pthread_client.push_numbers(ring.capsule, 0, 20_000, block) == (0, 20_000)
        ring.flush()
        assert (gathered.count, gathered.total) == (20_000, sum(range(20_000)))


# -- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RINGS)
def test_a_number_other_than_0_reaches_the_producer(kind, gathering, memory):
    function, gathered = gathering()
    ring = kind(4, "f8", function)
    ring.extend(range(6))
    before = ring.stats
    for gathered.refuses in (5, -3):
        for call in (lambda: ring.push(6.0), lambda: ring.extend(np.arange(9.0)), lambda: ring.reserve(3).__enter__(),
                     ring.flush):  # fmt: skip
            with pytest.raises(RuntimeError, match=rf"returned {gathered.refuses}, and has taken none of \d items"):
                call()
            assert ring.stats == before and len(ring) == 4
    if kind is ArrayRing:  # the other one leaves its items to the consumer
        with pytest.raises(RuntimeError, match="returned -3"):
            ring.close()
    gathered.refuses = 0
    ring.extend(range(6, 10))
    ring.flush()
    assert (gathered.count, gathered.total) == (10, sum(range(10)))


@pytest.mark.parametrize("kind", RINGS)
@pytest.mark.parametrize("block, reserves", [(0, False), (3, False), (3, True)])
@pytest.mark.thread_unsafe(reason="sys.unraisablehook is everybody's")
def test_it_reaches_a_thread_of_c(kind, block, reserves, native_sinks, pthread_client, unraisable):
    """As a code; the exception goes to the hook. Then the thread is as unknown to Python as it was before."""
    gathered = user_data(refuses=7)
    function = native_sinks.capsule(SIGNATURE, ctypes.addressof(gathered))
    for sink in (function, ArrayRing(3, sink=function)):
        ring = kind(3, "f8", sink)
        room = 3 if sink is function else 6
        known = thread_states()
        for _ in range(3):
            code = pthread_client.push_numbers(ring.capsule, ring.stats.pushed, 20, block, reserves)[0]
            assert code == FAILED and ring.stats.pushed == room
            assert "returned 7, and has taken none of" in unraisable.pop() and not unraisable
            assert thread_states() == known
        assert ring.pop_many().tolist() == list(range(room - 3, room))
        if sink is not function:
            assert sink.pop_many().tolist() == [0, 1, 2]


WRONG = [
    "", "int", "int (void *, int, void *)", "short (void *, ptrdiff_t, void *)", "int (ptrdiff_t, void *, void *)",
    "int (void *, ptrdiff_t)", "int (void *, ptrdiff_t, void *, void *)", "int (void **, ptrdiff_t, void *)",
    "int (void *, size_t, void *)", "int (void *, ptrdiff_t *, void *)", "double (double, void *)",
    "int (void *, long double, void *)",
]  # fmt: skip
RIGHT = [
    SIGNATURE, "int (void *, ptrdiff_t, void *)", "int(const void*,ptrdiff_t,void*)",
    "int (double *x, Py_ssize_t n, void *)", " int ( unsigned char const *, npy_intp n, struct state * )",
]  # fmt: skip


@pytest.mark.parametrize("signature", WRONG)
def test_a_capsule_of_another_signature(signature, native_sinks):
    given = native_sinks.capsule(signature, 0)
    for call in (FnSink, lambda given: ArrayRing(3, sink=given)):
        with pytest.raises(TypeError, match=r"ptrdiff_t count, void .user_data.' would be right") as caught:
            call(given)
        assert repr(signature) in str(caught.value)


@pytest.mark.parametrize("signature", RIGHT)
def test_a_signature_may_be_written_in_other_ways(signature, native_sinks):
    gathered = user_data()
    ring = ArrayRing(1, sink=native_sinks.capsule(signature, ctypes.addressof(gathered)))
    ring.extend([1, 2])
    assert gathered.count == 1


@pytest.mark.parametrize("result, arguments", [
    (ctypes.c_int, ARGUMENTS[:2]), (ctypes.c_int, [*ARGUMENTS, ctypes.c_int]), (None, ARGUMENTS),
    (ctypes.c_double, ARGUMENTS), (ctypes.c_int64, ARGUMENTS), (ctypes.c_uint, ARGUMENTS),
    (ctypes.c_int, [ctypes.c_void_p, ctypes.c_short, ctypes.c_void_p]),
    (ctypes.c_int, [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]),
    (ctypes.c_int, [ctypes.c_double, ctypes.c_ssize_t, ctypes.c_void_p]), (ctypes.c_int, [ctypes.py_object] * 3),
])  # fmt: skip
def test_a_ctypes_function_of_another_signature(result, arguments):
    function = ctypes.CFUNCTYPE(result, *arguments)(lambda *_: 0)
    with pytest.raises(TypeError, match=f"its signature is '{getattr(result, '__name__', None)} .*would be right"):
        FnSink(function)


def test_other_ctypes_functions(native_sinks):
    fresh = ctypes.CDLL(native_sinks.__file__).gather
    with pytest.raises(TypeError, match=rf"'{ctypes.c_int.__name__} \(argtypes not set\)'"):
        FnSink(fresh)
    with pytest.raises(TypeError, match="it needs the GIL"):
        FnSink(ctypes.PYFUNCTYPE(ctypes.c_int, *ARGUMENTS)(lambda *_: 0))
    with pytest.raises(ValueError, match="NULL"):
        FnSink(ctypes.CFUNCTYPE(ctypes.c_int, *ARGUMENTS)())


@pytest.mark.not_sanitized
def test_a_numba_function_of_another_signature():
    numba = pytest.importorskip("numba")

    @numba.cfunc("float64(float64)")
    def half(x):
        return x / 2

    with pytest.raises(TypeError, match=r"'c_double \(c_double\)'.*would be right"):
        ArrayRing(3, sink=half)


def test_what_is_no_function_at_all():
    for given in (5, "f", (1, 2), np.zeros(3)):
        with pytest.raises(TypeError, match="is not callable"):
            FnSink(given)
        with pytest.raises(TypeError, match=r"is no sink: expected .* a compiled function"):
            ArrayRing(3, sink=given)


def test_it_takes_no_objects(library):
    for kind in (ObjectRing, SpscRing):
        with pytest.raises(TypeError, match="takes items of a dtype and no objects"):
            kind(3, sink=FnSink(library.gather))


# -- and else --------------------------------------------------------------------------------------------


def test_it_is_kept_alive():
    function = ctypes.CFUNCTYPE(ctypes.c_int, *ARGUMENTS)(lambda *_: 0)
    known = weakref.ref(function)
    ring = ArrayRing(1, sink=function)
    del function
    gc.collect()
    ring.extend([1, 2, 3])
    assert known() is ring.sink
    del ring
    gc.collect()
    assert known() is None


def test_flush_is_called(library):
    calls = []
    ring = ArrayRing(3, sink=FnSink(library.gather, lambda: calls.append(1)))
    ring.flush()
    ring.close()
    assert calls == [1, 1, 1]


def test_a_send_in_python_comes_first(library):
    got = []

    class Loud(FnSink):
        def send(self, items):
            got.append(items.tolist())

    ring = ArrayRing(2, sink=Loud(library.refuse))
    ring.extend(range(4))
    assert got == [[0, 1]]
