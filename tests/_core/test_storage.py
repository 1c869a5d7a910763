"""The memory of typed rings: both kinds, views that outlive their ring, fork."""
import gc
import os
import resource
import sys
import tracemalloc

import numpy as np
import pytest

from helpers.children import run_child
from spill_ring import ArrayRing, CollectSink, ObjectRing
from spill_ring._core.storage import use_mirror

# One turn must fill whole pages and be a power of two of items.
DTYPES = ["u1", "f8", "S3", "V7", "V24", ("f4", (8,)), "V4096", "V5000"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("capacity", [1, 7, 8, 100])
def test_content_is_the_newest_in_order(memory, dtype, capacity):
    rng = np.random.default_rng(capacity)
    sink = CollectSink()
    ring = ArrayRing(capacity, dtype, sink)
    size = np.dtype(dtype).itemsize
    data = rng.integers(1, 255, (5 * capacity + 13) * size, "u1")
    frames = np.dtype(dtype).subdtype is not None
    items = data.view("f4").reshape(-1, 8) if frames else np.ndarray(len(data) // size, dtype, data)
    done = 0
    while done < len(items):
        count = int(rng.integers(1, 2 * capacity + 2))
        ring.extend(items[done : done + count])
        done = min(len(items), done + count)
        assert ring.view().tobytes() == items[max(0, done - capacity) : done].tobytes()
        # items of 5,000 bytes fill whole pages only by the thousand, so they are on the heap
        assert ring.view().base.kind == ("heap" if dtype == "V5000" and capacity < 100 else memory)
    ring.flush()
    assert sink.items.tobytes() == items.tobytes()


@pytest.mark.thread_unsafe(reason="switches the memory of all rings")
def test_mirrored_is_what_linux_gives():
    if sys.platform in ("linux", "darwin"):
        assert ArrayRing(10).view().base.kind == "mirrored"
        assert ArrayRing(10**6, "V3").view().base.kind == "mirrored"
    before = use_mirror(False)
    try:
        assert ArrayRing(10).view().base.kind == "heap"
    finally:
        use_mirror(before)
    assert "bytes" in repr(ArrayRing(10).view().base)


def test_items_of_an_odd_size_do_not_waste_memory():
    storage = ArrayRing(4, "V12345").view().base
    assert storage.nbytes <= 4 * 12345


def test_view_is_live_contiguous_and_keeps_the_memory(memory):
    ring = ArrayRing(600, "i8")
    ring.extend(range(1100))
    view = ring.view()
    assert view.flags.c_contiguous and not view.flags.writeable and not view.flags.owndata
    assert view.tolist() == list(range(500, 1100))
    if memory == "mirrored":
        with ring.reserve(1) as block:
            block[:] = -1
        assert view[0] == 500 or view[0] == -1  # the place of the oldest may be written next
    del ring
    gc.collect()
    assert view[1:].tolist() == list(range(501, 1100))


def test_view_shows_what_later_pushes_write():
    ring = ArrayRing(512, "i8")  # one page exactly: the next item goes where the oldest is
    ring.extend(range(512))
    view = ring.view()
    ring.push(-5)
    assert view[0] == -5 and ring.view()[-1] == -5


def test_reserve_is_the_ring_itself(memory):
    ring = ArrayRing(100, "f8")
    for start in range(0, 1000, 70):
        with ring.reserve(70) as block:
            assert block.flags.writeable and block.shape == (70,)
            block[:] = np.arange(start, start + 70)
    assert ring.view().tolist() == list(range(950, 1050))
    storage = ring.view().base
    del block, ring
    gc.collect()
    assert storage.nbytes >= 800


def test_a_reserved_block_that_is_kept_harms_nothing(memory):
    ring = ArrayRing(4, "i8")
    with ring.reserve(4) as block:
        block[:] = 7
    block[:] = 8  # into the ring's own memory, which it may
    assert set(ring.view().tolist()) <= {7, 8}
    assert ring.pop_into(block) == 4
    ring.extend(block)
    del ring
    gc.collect()
    block[:] = 9
    assert block.tolist() == [9] * 4


@pytest.mark.not_sanitized
@pytest.mark.thread_unsafe(reason="counts the memory of the process")
def test_bounded_memory(memory):
    """Typed rings allocate no memory for items once they are made."""
    small = ArrayRing(1000, "f8")
    ring = ArrayRing(100, "f8", small)
    block, out = np.zeros(5000), np.zeros(700)

    def work():
        for n in (1, 99, 100, 101, 5000):
            ring.extend(block[:n])
            ring.push(1.0)
            ring.try_extend(block[:n])
            with ring.reserve(50) as room:
                room[:] = 0
            view = ring.view()
            del view, room
            small.pop_into(out)
            ring.flush()

    work()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(50):
        work()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 2000 and peak - before < 8000, "a copy of a block would be 40,000"


@pytest.mark.slow
@pytest.mark.not_sanitized
@pytest.mark.thread_unsafe(reason="counts the memory of the process")
def test_memory_is_given_back():
    def resident():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    def maps():
        with open("/proc/self/maps") as lines:
            return sum(1 for _ in lines)

    for _ in range(5):
        ArrayRing(10**6).extend(np.zeros(10**6))
    gc.collect()
    memory, mappings = resident(), maps()
    for _ in range(100):
        ring = ArrayRing(10**6)
        ring.extend(np.zeros(10**6))
        view = ring.view()
        del ring
        del view
    gc.collect()
    assert resident() - memory < 30e6 and maps() - mappings < 20


@pytest.mark.slow
def test_a_machine_without_memory_maps_left():
    """Where no memory is to be had there is an error; and rings leave mappings for the rest of the process."""
    assert run_child("storage/too_little_memory").startswith("done")

    assert run_child("storage/too_many_maps").strip() == "['heap', 'mirrored']"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_fork(memory):
    """The child gets its own copy of the content; the parent is untouched, and neither waits for the other."""
    assert run_child("storage/forks", memory == "mirrored", memory).strip() == "done"


@pytest.mark.slow
@pytest.mark.not_sanitized
@pytest.mark.thread_unsafe(reason="counts the references and memory of the process")
def test_no_leak_over_a_million_operations():
    """References and memory stay where they are, errors included."""
    items = [object() for _ in range(10)]
    sink = CollectSink()
    ring, typed = ObjectRing(5, sink), ArrayRing(5, "f8", CollectSink())
    block = np.arange(20.0)

    def work(rounds):
        for _ in range(rounds):
            for item in items:
                ring.push(item)
            ring.extend(items)
            ring.pop()
            ring.pop_many(2)
            ring[0], ring[1:3], items[0] in ring
            sink.take()
            typed.extend(block)
            typed.push(1.5)
            typed.push(3)
            typed.pop()
            typed.pop_many(3)
            typed.latest(2)
            typed.view()
            typed.sink.take()
            for bad in ("x", [1, "x"], None):
                try:
                    typed.extend(bad)
                except (TypeError, ValueError):
                    pass
            try:
                ring["x"]
            except TypeError:
                pass

    work(100)
    ring.clear()
    sink.take()
    gc.collect()
    counts = [sys.getrefcount(item) for item in items] + [sys.getrefcount(None)] * (sys.version_info < (3, 12))
    dtype_count = sys.getrefcount(np.dtype("f8"))
    with open("/proc/self/statm") as statm:
        memory = int(statm.read().split()[1])
    work(25_000)  # about 40 operations a round
    ring.clear()
    sink.take()
    gc.collect()
    after = [sys.getrefcount(item) for item in items] + [sys.getrefcount(None)] * (sys.version_info < (3, 12))
    assert all(abs(a - b) < 50 for a, b in zip(after, counts, strict=True)), (counts, after)
    assert after[:10] == counts[:10]
    assert abs(sys.getrefcount(np.dtype("f8")) - dtype_count) < 50
    with open("/proc/self/statm") as statm:
        assert (int(statm.read().split()[1]) - memory) * resource.getpagesize() < 2e6


@pytest.mark.slow
def test_fork_beside_threads_and_hooks():
    """Other hooks run Python code around the fork; rings are made, and pushed to, in other threads meanwhile."""
    run_child("storage/forks_beside_threads_and_hooks")


@pytest.mark.slow
def test_fork_needs_no_files():
    run_child("storage/forks_without_files")


@pytest.mark.slow
def test_fork_while_a_lock_is_held():
    run_child("storage/forks_while_a_lock_is_held")
