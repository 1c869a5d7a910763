"""The C interface: a C extension with a thread of its own, numba, cffi and ctypes push and pop without Python."""
import ctypes
import gc
import queue
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

from helpers.children import complete_child, run_child
from helpers.memory import thread_states
from spill_ring import ArrayRing, CollectSink, FnSink, MpscRing, ObjectRing, Sink, SpscRing
from spill_ring.interop.c_interface import Interface

FAILED, CLOSED, IN_USE, BAD_COUNT, FULL, NOT_RESERVED = range(-1, -7, -1)
RINGS = [ArrayRing, SpscRing]


@pytest.fixture
def unraisable(monkeypatch):
    """Exceptions that had nowhere to go."""
    found = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: found.append(repr(unraisable.exc_value)))
    return found


def at(array):
    return array.ctypes.data


def push(ring, items):
    interface = ring.ctypes
    items = np.asarray(items, ring.dtype)
    return interface.push(interface.state, at(items), len(items))


def pop(ring, n):
    interface = ring.ctypes
    out = np.zeros(n)
    count = interface.pop(interface.state, at(out), n)
    return out[:count].tolist() if count >= 0 else count


def reserve(ring, n):
    """The code, and where the room is."""
    interface = ring.ctypes
    room = ctypes.c_void_p()
    return interface.reserve(interface.state, n, ctypes.addressof(room)), room.value


def commit(ring, n):
    interface = ring.ctypes
    return interface.commit(interface.state, n)


def length(ring):
    interface = ring.ctypes
    return interface.length(interface.state)


# -- the forms -------------------------------------------------------------------------------------------


def test_what_the_struct_says():
    for ring, size in ((ArrayRing(3, "f4"), 4), (SpscRing(3, ("f4", (8,))), 32), (ArrayRing(3, "S16"), 16)):
        interface = ring.ctypes
        assert (interface.version, interface.size, interface.item_size) == (1, ctypes.sizeof(Interface), size)
        assert ctypes.c_void_p.from_address(interface.stop).value is None


def test_ctypes_has_the_fields_of_the_header():
    cffi = pytest.importorskip("cffi")
    declared = cffi.FFI().typeof(ArrayRing(3).cffi).item
    assert [(name, field.offset) for name, field in declared.fields] == [
        (name, getattr(Interface, name).offset) for name, _ in Interface._fields_
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", RINGS)
@pytest.mark.parametrize("form", ["capsule", "ctypes", "cffi", "function"])
def test_it_keeps_its_ring_alive(kind, form):
    if form == "cffi":
        pytest.importorskip("cffi")
    ring = kind(3, "f8")
    known = weakref.ref(ring)
    held = ring.ctypes.push if form == "function" else getattr(ring, form)
    del ring
    gc.collect()
    assert known() is not None
    held = None  # noqa: F841
    gc.collect()
    assert known() is None


def test_a_held_function_of_a_ring_that_nobody_knows_works():
    interface = ArrayRing(3).ctypes
    gc.collect()
    numbers = np.arange(5.0)
    assert interface.push(interface.state, at(numbers), 5) == 0 and interface.length(interface.state) == 3


def test_cffi_is_imported_only_where_it_is_asked_for():
    code = "import sys, spill_ring; r = spill_ring.ArrayRing(3); r.capsule, r.ctypes; print('cffi' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_rings_of_objects_have_none():
    for form in ("capsule", "ctypes", "cffi"):
        with pytest.raises(AttributeError):
            getattr(ObjectRing(3), form)
        with pytest.raises(TypeError, match="a SpscRing of objects has no C interface"):
            getattr(SpscRing(3), form)
        for kind in RINGS:
            with pytest.raises(RuntimeError, match="never initialised"):
                getattr(kind.__new__(kind), form)


def test_it_is_the_ring_s_own_whatever_a_subclass_overrides():
    class Loud(ArrayRing):
        def push(self, item):
            raise AssertionError

        extend = pop = pop_many = reserve = commit = __len__ = push

    ring = Loud(3)
    assert push(ring, [1, 2, 3, 4]) == 0 and length(ring) == 3 and pop(ring, 9) == [2, 3, 4]


# -- what the functions do -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RINGS)
def test_push_and_pop(kind, memory):
    ring = kind(700, "f8", (sink := CollectSink()))
    for start in range(0, 3000, 300):
        assert push(ring, range(start, start + 300)) == 0
    assert length(ring) == len(ring) == 700
    assert pop(ring, 600) == list(range(2300, 2900)) and pop(ring, 600) == list(range(2900, 3000))
    assert pop(ring, 600) == [] and push(ring, []) == 0 and pop(ring, 0) == []
    assert push(ring, range(5000)) == 0 and ring.pop() == 4300  # more than fit
    assert sink.items.tolist() == [*range(2300), *range(4300)]
    assert ring.stats == (8000, 701, 6600, 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", RINGS)
def test_single_items_between_other_calls(kind, pthread_client, memory):
    """By the window that push opens: what was written there shows in every other call."""
    rng = np.random.default_rng(3)
    ring = kind(600, "f8", (sink := CollectSink()))
    pushed, got = 0, []
    for _ in range(300):
        count = int(rng.integers(0, 400))
        assert pthread_client.push_numbers(ring.capsule, pushed, count, 0) == (0, count)
        pushed += count
        assert ring.stats.pushed == pushed and length(ring) == len(ring)
        call = rng.integers(5)
        if call == 0:
            got += pop(ring, int(rng.integers(0, 300)))
        elif call == 1:
            ring.push(float(pushed))
            pushed += 1
        elif call == 2:
            assert pthread_client.push_numbers(ring.capsule, pushed, 50, 20) == (0, 50)
            pushed += 50
        elif call == 3:
            assert pthread_client.push_numbers(ring.capsule, pushed, 50, 20, True) == (0, 50)
            pushed += 50
        elif count and kind is ArrayRing and len(ring):
            assert ring.peek_back() == pushed - 1
    got += ring.pop_many().tolist()
    assert sorted([*got, *sink.items.tolist()]) == list(range(pushed))


def test_only_an_array_ring_of_numbers_opens_a_window():
    for ring, opens in ((ArrayRing(9, "i2"), True), (SpscRing(9, "i2"), False), (ArrayRing(9, "S2"), False)):
        interface = ring.ctypes
        push(ring, np.zeros(1, ring.dtype))
        stop = ctypes.c_void_p.from_address(interface.stop)
        assert (stop.value is not None) == opens
        push(ring, np.zeros(2, ring.dtype))
        assert stop.value is None and len(ring) == 3


@pytest.mark.parametrize("kind", RINGS)
def test_reserve_and_commit(kind, memory):
    ring = kind(600, "f8", (sink := CollectSink()))
    for start in range(0, 3000, 100):
        code, room = reserve(ring, 150)
        assert code == 0
        np.ctypeslib.as_array((ctypes.c_double * 150).from_address(room))[:] = range(start, start + 150)
        assert reserve(ring, 1)[0] == push(ring, [1.0]) == IN_USE and commit(ring, 151) == BAD_COUNT
        with pytest.raises(RuntimeError, match=r"open reserve\(\)"):
            ring.push(1.0)
        assert commit(ring, 100) == 0
    assert commit(ring, 0) == NOT_RESERVED
    assert [*sink.items.tolist(), *ring.pop_many().tolist()] == list(range(3000))


def test_a_stalled_consumer_is_in_the_way_of_reserve():
    """C gets a number. Python gets a block outside of the ring's memory, and C may commit that too."""
    ring = SpscRing(600, "f8", (sink := CollectSink()))
    ring.extend(range(600))
    with ring.read(1) as block:
        ring.extend(range(600, 1200))
        ring.extend(range(1200, 1800))
        assert reserve(ring, 600) == (FULL, None)
        with ring.reserve(600) as fallback:
            assert fallback.base is None
            fallback[:] = range(1800, 2400)
            assert commit(ring, 601) == BAD_COUNT and commit(ring, 500) == 0
            assert commit(ring, 0) == NOT_RESERVED
        assert block.tolist() == [0]
    assert [*sink.items.tolist(), *ring.pop_many().tolist()] == list(range(1, 2300))


# -- errors are numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RINGS)
def test_counts_that_make_no_sense(kind):
    ring = kind(3, "f8")
    interface = ring.ctypes
    nothing = at(np.zeros(9))
    assert interface.push(interface.state, nothing, -1) == interface.pop(interface.state, nothing, -1) == BAD_COUNT
    assert reserve(ring, -1) == reserve(ring, 4) == (BAD_COUNT, None)
    assert len(ring) == 0


def test_a_closed_ring(pthread_client):
    ring = ArrayRing(3)
    interface, capsule = ring.ctypes, ring.capsule
    push(ring, [1.0, 2.0])
    ring.close()
    assert push(ring, [1.0]) == pop(ring, 1) == reserve(ring, 1)[0] == commit(ring, 0) == CLOSED
    assert pthread_client.push_numbers(capsule, 0, 5, 0) == pthread_client.push_numbers(capsule, 0, 5, 2) == (CLOSED, 0)
    assert interface.length(interface.state) == 0
    ring = SpscRing(3, "f8")
    push(ring, [1.0, 2.0])
    ring.close()
    assert push(ring, [1.0]) == reserve(ring, 1)[0] == commit(ring, 0) == CLOSED and length(ring) == 2
    assert pthread_client.pop_numbers(ring.capsule, 1) == (CLOSED, 2, 3.0, 1)


def test_a_full_ring_that_rejects():
    ring = SpscRing(3, "f8", overflow="reject")
    assert push(ring, [1, 2, 3, 4]) == FULL and push(ring, [1, 2]) == 0
    assert push(ring, [3, 4]) == FULL and reserve(ring, 2)[0] == FULL and length(ring) == 2
    assert push(ring, [3]) == 0 and pop(ring, 9) == [1, 2, 3]


@pytest.mark.parametrize("kind", RINGS)
def test_a_sink_that_comes_back_finds_it_in_use(kind):
    codes = []
    ring = kind(2, "f8", lambda block: codes.extend([push(ring, [1.0]), reserve(ring, 1)[0], commit(ring, 0)]))
    assert push(ring, [1, 2, 3]) == 0 and codes == [IN_USE] * 3
    if kind is SpscRing:
        with ring.read():
            assert pop(ring, 1) == IN_USE


class Refusing(Sink):
    """Takes the first few of what it is sent, and raises."""

    def __init__(self, takes):
        self.takes = takes

    def send(self, items):
        error = OSError(f"refused {len(items)}")
        error.n_taken = self.takes
        raise error


@pytest.mark.parametrize("kind", RINGS)
@pytest.mark.parametrize("reserves", [False, True])
@pytest.mark.parametrize("takes", [0, 1])
@pytest.mark.thread_unsafe(reason="sys.unraisablehook is everybody's")
def test_a_sink_that_raises(kind, reserves, takes, pthread_client, unraisable):
    """In a thread that Python doesn't know, and in one that it does: nothing is lost, and no exception is left set."""
    ring = kind(4, "f8", Refusing(takes))
    known = thread_states()
    assert pthread_client.push_numbers(ring.capsule, 0, 6, 2, reserves) == (FAILED, 4)
    assert unraisable == ["OSError('refused 2')"] and thread_states() == known
    assert push(ring, [4, 5]) == reserve(ring, 4)[0] == FAILED and len(unraisable) == 3
    taken = ring.stats.spilled
    assert taken == 3 * takes
    assert ring.pop_many().tolist() == list(range(taken, 4))
    assert ring.stats.pushed == 4


@pytest.mark.thread_unsafe(reason="sys.unraisablehook is everybody's")
def test_a_compiled_ring_with_a_way_of_its_own(pthread_client, spsc_client, unraisable):
    """It may raise where the class that it comes from would not."""
    known = thread_states()
    for refusing in (spsc_client.RefusingRing, spsc_client.RefusingSpscRing):
        for sink in (refusing(4, "f8"), ArrayRing(1, "f8", refusing(4, "f8"))):
            ring = ArrayRing(2, "f8", sink)
            assert pthread_client.push_numbers(ring.capsule, 0, 6, 2) == (FAILED, 2)
            assert unraisable.pop() == "OSError('refused')" and thread_states() == known
            for holder in (ring, sink):
                holder.clear()


@pytest.mark.parametrize("kind", RINGS)
@pytest.mark.thread_unsafe(reason="sys.unraisablehook is everybody's")
def test_a_closed_sink(kind, pthread_client, unraisable):
    """Closed under the ring: what finds that out has to raise."""
    fn = FnSink(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_void_p)(lambda *_: 0))
    for sink in (fn, CollectSink()):
        ring = kind(4, "f8", sink)
        sink.close()
        assert pthread_client.push_numbers(ring.capsule, 0, 6, 2) == (FAILED, 4)
        assert unraisable.pop() == f"ValueError('{type(sink).__name__} is closed')"
        ring.pop_many()


# What Python raises where C gets the number.
PYTHON_ERRORS = {
    FAILED: (OSError, "refused"),
    CLOSED: (ValueError, "is closed"),
    IN_USE: (RuntimeError, r"is in use|has an open reserve\(\): leave"),
    BAD_COUNT: (ValueError, "got a count of [24] items, but there is room for [13]"),
    FULL: (queue.Full, "SpscRing has no room for 2 items: it holds 2 of 3"),
    NOT_RESERVED: (RuntimeError, r"has no open reserve\(\) to commit"),
}


def call_in_c(ring, name, n):
    if name == "push":
        return push(ring, np.zeros(n))
    if name == "pop":
        return pop(ring, n)
    return reserve(ring, n)[0] if name == "reserve" else commit(ring, n)


def call_in_python(ring, name, n):
    if name == "push":
        ring.extend(np.zeros(n))
    elif name == "pop":
        ring.pop_many(n)
    elif name == "reserve":
        ring.reserve(n).__enter__()
    else:
        ring.commit(n)


def check_both_faces(ring, *expected):
    """Each call that has to fail, and the number of its error."""
    before = ring.stats
    for name, n, status in expected:
        error, match = PYTHON_ERRORS[status]
        assert call_in_c(ring, name, n) == status, name
        with pytest.raises(error, match=match):
            call_in_python(ring, name, n)
        assert ring.stats == before, name


@pytest.mark.parametrize("kind", RINGS)
@pytest.mark.thread_unsafe(reason="sys.unraisablehook is everybody's")
def test_a_status_is_the_same_error_in_c_and_in_python(kind, unraisable):
    ring = kind(3, "f8")
    check_both_faces(ring, ("reserve", 4, BAD_COUNT), ("commit", 0, NOT_RESERVED))
    with ring.reserve(1):
        check_both_faces(ring, ("push", 1, IN_USE), ("reserve", 1, IN_USE), ("commit", 2, BAD_COUNT))
        if kind is ArrayRing:
            check_both_faces(ring, ("pop", 1, IN_USE))
    ring.close()
    check_both_faces(ring, ("push", 1, CLOSED), ("reserve", 1, CLOSED), ("commit", 0, CLOSED))
    if kind is ArrayRing:
        check_both_faces(ring, ("pop", 1, CLOSED))

    in_use = [(name, 1, IN_USE) for name in ("push", "reserve", "commit")]
    inside = kind(2, "f8", lambda block: check_both_faces(inside, *in_use))
    inside.extend([1, 2, 3])
    assert inside.stats.spilled == 1  # so the checks have run, and none failed

    failing = kind(3, "f8", Refusing(0))
    failing.extend([1, 2, 3])
    assert not unraisable
    check_both_faces(failing, ("push", 2, FAILED), ("reserve", 2, FAILED))
    assert unraisable == ["OSError('refused 2')"] * 2
    failing.pop_many()


def test_a_full_ring_is_the_same_error_in_c_and_in_python():
    ring = SpscRing(3, "f8", overflow="reject")
    ring.extend([1, 2])
    check_both_faces(ring, ("push", 2, FULL), ("reserve", 2, FULL))


# -- clients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [0, 1, 64])
@pytest.mark.parametrize("reserves", [False, True])
def test_a_thread_of_c_pushes(pthread_client, block, reserves, memory):
    n = 20_000
    for sink in (None, CollectSink(), ArrayRing(100, sink=(end := CollectSink()))):
        ring = ArrayRing(300, sink=sink)
        assert pthread_client.push_numbers(ring.capsule, 0, n, block, block > 0 and reserves) == (0, n)
        assert ring.view().tolist() == list(range(n - 300, n)) and ring.stats.pushed == n
    assert [*end.items.tolist(), *sink.view().tolist()] == list(range(n - 300))


@pytest.mark.parametrize("kind", RINGS)
@pytest.mark.parametrize("block", [0, 64])
def test_a_thread_of_c_pushes_into_a_sink_of_python(pthread_client, kind, block):
    got = []
    ring = kind(300, "f8", lambda block: got.extend(block.tolist()))
    assert pthread_client.push_numbers(ring.capsule, 0, 1000, block) == (0, 1000)
    assert [*got, *ring.pop_many().tolist()] == list(range(1000))


def test_a_capsule_of_something_else(pthread_client):
    for wrong in (np.zeros(3), ArrayRing(3).ctypes):
        with pytest.raises(ValueError, match="PyCapsule_GetPointer"):
            pthread_client.push_numbers(wrong, 0, 1, 1)
    with pytest.raises(ValueError, match="blocks of double"):
        pthread_client.push_numbers(ArrayRing(3, "f4").capsule, 0, 1, 1)


@pytest.mark.slow
@pytest.mark.not_sanitized
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_sink_without_memory(pthread_client):
    """A CollectSink too needs Python only to say so."""
    assert run_child("c_interface/too_little_memory", pthread_client.__file__) == "MemoryError\n-1 True True\n"


@pytest.mark.parametrize("overflow", ["spill", "block"])
@pytest.mark.parametrize("block", [0, 1, 64])
def test_two_threads_of_c(pthread_client, overflow, block):
    n = 200_000
    ring = SpscRing(100, "f8", (sink := CollectSink()), overflow=overflow)
    results = []
    pop = pthread_client.pop_numbers
    consumer = threading.Thread(target=lambda: results.append(pop(ring.capsule, 64)), daemon=True)
    consumer.start()
    assert pthread_client.push_numbers(ring.capsule, 0, n, block) == (0, n)
    ring.close()
    consumer.join()
    [(code, popped, total, in_order)] = results
    spilled = sink.items if len(sink) else np.zeros(0)
    assert code == CLOSED and in_order and (np.diff(spilled) > 0).all()
    assert popped + len(spilled) == n and total + spilled.sum() == n * (n - 1) / 2
    assert overflow == "spill" or popped == n


def test_a_producer_of_an_mpsc_ring(pthread_client):
    ring = MpscRing(100, "f8", producers=2)
    for producer in ring.producers:
        assert pthread_client.push_numbers(producer.capsule, 0, 3, 1) == (0, 3)
    assert sorted(ring.pop_many().tolist()) == [0, 0, 1, 1, 2, 2]


def test_a_waiting_consumer_is_woken(pthread_client):
    ring = SpscRing(100, "f8")
    got = []
    consumer = threading.Thread(target=lambda: got.append(ring.pop_many(timeout=30)), daemon=True)
    consumer.start()
    assert pthread_client.push_numbers(ring.capsule, 7, 1, 1) == (0, 1)
    consumer.join()
    assert got[0].tolist() == [7]


def test_a_thread_of_c_goes_on_as_the_interpreter_ends(pthread_client):
    """Without Python on its way it does no harm, and isn't harmed."""
    done = complete_child("c_interface/exits", pthread_client.__file__)
    assert (done.stdout, done.stderr) == ("through\n", "")


@pytest.mark.parametrize("kind", RINGS)
def test_cffi(kind):
    pytest.importorskip("cffi")
    from cffi import FFI

    ffi = FFI()  # the client's own: not the one that the interface comes from
    ring = kind(4, "f8", (sink := CollectSink()))
    interface = ring.cffi
    assert interface.version == 1 and interface.item_size == 8
    assert interface.push(interface.state, ffi.new("double[]", [1, 2, 3, 4, 5, 6]), 6) == 0
    numbers, out = np.array([7.0]), np.zeros(2)
    assert interface.push(interface.state, ffi.from_buffer("double[]", numbers), 1) == 0
    assert interface.length(interface.state) == 4
    assert interface.pop(interface.state, ffi.from_buffer("double[]", out, True), 2) == 2
    room = ffi.new("void **")
    assert interface.reserve(interface.state, 2, room) == 0
    ffi.cast("double *", room[0])[1] = 9
    ffi.cast("double *", room[0])[0] = 8
    assert interface.commit(interface.state, 2) == 0
    assert out.tolist() == [4, 5] and ring.pop_many().tolist() == [6, 7, 8, 9] and sink.items.tolist() == [1, 2, 3]
    ring.close()
    assert interface.push(interface.state, ffi.NULL, 0) == CLOSED


@pytest.mark.slow
@pytest.mark.not_sanitized
@pytest.mark.parametrize("kind", RINGS)
def test_numba(kind):
    numba = pytest.importorskip("numba")
    ring = kind(4, "f8", (sink := CollectSink()))
    interface = ring.ctypes
    push, pop, length = interface.push, interface.pop, interface.length

    @numba.njit(nogil=True)
    def pass_through(state, n):
        """Push n numbers in blocks of 3, and pop one after each."""
        block, one, total = np.empty(3), np.empty(1), 0.0
        for start in range(0, n, 3):
            for i in range(3):
                block[i] = start + i
            if push(state, block.ctypes, 3) != 0 or pop(state, one.ctypes, 1) != 1:
                return -1.0
            total += one[0]
        return total + length(state)

    popped = pass_through(interface.state, 300) - len(ring)
    assert ring.stats == (300, 100, 300 - 100 - len(ring), 0)
    assert popped + ring.pop_many().sum() + sink.items.sum() == 300 * 299 / 2


@pytest.mark.slow
@pytest.mark.not_sanitized
def test_numba_in_a_thread_of_its_own():
    numba = pytest.importorskip("numba")
    ring = SpscRing(1000, "f8", overflow="block")
    push, pop = ring.ctypes.push, ring.ctypes.pop

    @numba.njit(nogil=True)
    def produce(state, n):
        item = np.empty(1)
        for i in range(n):
            item[0] = i
            if push(state, item.ctypes, 1) != 0:
                return -1
        return 0

    @numba.njit(nogil=True)
    def consume(state):
        items, total, count = np.empty(64), 0.0, 0
        while count >= 0:
            for i in range(count):
                total += items[i]
            count = pop(state, items.ctypes, 64)
        return total

    n = 100_000
    state = ring.ctypes.state
    codes = []
    produce(state, 0)
    producer = threading.Thread(target=lambda: (codes.append(produce(state, n)), ring.close()), daemon=True)
    producer.start()
    assert consume(state) == n * (n - 1) / 2
    producer.join()
    assert codes == [0]


@pytest.mark.slow
@pytest.mark.not_sanitized
def test_numba_in_the_window(memory):
    """Single numbers without a call, as the header's inline functions push them."""
    numba = pytest.importorskip("numba")
    from numba.core import cgutils
    from numba.extending import intrinsic

    ring = ArrayRing(700, "f8", (sink := CollectSink()))
    interface = ring.ctypes
    push = interface.push

    @intrinsic
    def at(typing_context, address):
        """An address as a pointer."""
        def codegen(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], cgutils.voidptr_t)

        return numba.types.voidptr(numba.types.intp), codegen

    @numba.njit(nogil=True)
    def push_numbers(state, next, stop, first, n):
        """Also how many of them went without a call."""
        item, inside = np.empty(1), 0
        window, end = numba.carray(at(next), 1, np.intp), numba.carray(at(stop), 1, np.intp)
        for i in range(first, first + n):
            if window[0] < end[0]:
                numba.carray(at(window[0]), 1, np.float64)[0] = i
                window[0] += 8
                inside += 1
            else:
                item[0] = i
                push(state, item.ctypes, 1)
        return inside

    for first in range(0, 3000, 500):
        inside = push_numbers(interface.state, interface.next, interface.stop, first, 500)
        assert (inside >= 498) == (first == 0)  # once it is full each evicts
        assert ring.peek_back() == first + 499
    assert [*sink.items.tolist(), *ring.view().tolist()] == list(range(3000))
