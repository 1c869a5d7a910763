"""The memory of typed rings: both kinds, views that outlive their ring, fork."""
import gc
import os
import resource
import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest

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
    script = """
        import resource, numpy as np
        from spill_ring import ArrayRing
        rings = [ArrayRing(4) for _ in range(10)]
        with open("/proc/self/statm") as statm:
            size = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + 40_000_000, size + 40_000_000))
        try:
            ArrayRing(100_000_000)
        except MemoryError:
            pass
        else:
            raise SystemExit("no MemoryError")
        ring = ArrayRing(10_000, sink=rings[0])
        ring.extend(np.arange(30_000.0))
        assert ring.view()[-1] == 29_999
        print("done", ring.view().base.kind)
    """
    done = subprocess.run([sys.executable, "-P", "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.stdout.startswith("done"), done.stderr

    too_many = """
        from spill_ring import ArrayRing
        rings = [ArrayRing(4) for _ in range(40_000)]  # two mappings each would be more than there are
        kinds = {ring.view().base.kind for ring in (rings[0], rings[-1])}
        for n, ring in enumerate(rings[::97]):
            ring.extend([n, n, n, n, n + 1])
            assert ring.view().tolist() == [n, n, n, n + 1]
        print(sorted(kinds))
    """
    done = subprocess.run([sys.executable, "-P", "-c", textwrap.dedent(too_many)], capture_output=True, text=True)
    assert done.stdout.strip() == "['heap', 'mirrored']", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_fork(memory):
    """The child gets its own copy of the content; the parent is untouched, and neither waits for the other."""
    script = f"""
        import os, sys
        import numpy as np
        from spill_ring import ArrayRing, ObjectRing
        from spill_ring._core.storage import use_mirror
        use_mirror({memory == "mirrored"})
        ring = ArrayRing(1000, "i8", ArrayRing(500, "i8"))
        ring.extend(range(1200))
        objects = ObjectRing(3)
        objects.extend("abcd")
        view = ring.view()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(read, 1)  # the parent has written over all of its own ring
            assert view.tolist() == list(range(200, 1200)), view
            assert ring.view().tolist() == list(range(200, 1200))
            assert ring.sink.view().tolist() == list(range(200))
            ring.extend(np.full(5000, -1))
            assert (ring.view() == -1).all() and list(objects) == ["b", "c", "d"]
            objects.push("child")
            if os.fork() == 0:  # and so its own child
                ring.extend(np.full(5000, -9))
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
            assert (ring.view() == -1).all()
            os._exit(0)
        ring.extend(np.full(1000, 7))
        os.write(write, b"x")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (ring.view() == 7).all()
        assert ring.sink.view().tolist() == list(range(700, 1200))
        assert list(objects) == ["b", "c", "d"]
        assert ring.view().base.kind == "{memory}"
        fds = os.listdir("/proc/self/fd")
        assert len(fds) <= 6, fds  # the snapshots' files are closed
        print("done")
    """
    done = subprocess.run([sys.executable, "-P", "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.stdout.strip() == "done", done.stderr


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


def forked(script):
    done = subprocess.run([sys.executable, "-P", "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fork_beside_threads_and_hooks():
    """Other hooks run Python code around the fork; rings are made, and pushed to, in other threads meanwhile."""
    forked("""
        import logging, os, sys, threading
        ring = None
        os.register_at_fork(before=lambda: ring.push(-1), after_in_child=lambda: ring.push(-2))
        import numpy as np
        from spill_ring import ArrayRing
        sys.setswitchinterval(1e-5)
        ring = ArrayRing(1000, "i8")
        going = True

        def make():
            while going:
                ArrayRing(100).extend(np.ones(300))

        thread = threading.Thread(daemon=True, target=make)
        thread.start()
        for n in range(50):
            ring.extend(np.full(1000, n))
            child = os.fork()
            if child == 0:
                ok = ring[-1] == -2 and ring[-2] == -1 and set(ring.view()[:-2].tolist()) == {n}
                ring.extend(np.full(1000, -9))
                os._exit(0 if ok else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert ring[-1] == -1 and set(ring.view()[:-1].tolist()) == {n}
        going = False
        thread.join()
    """)


def test_fork_needs_no_files():
    forked("""
        import os, resource
        import numpy as np
        from spill_ring import ArrayRing
        rings = [ArrayRing(10, "i8") for _ in range(500)]
        for n, ring in enumerate(rings):
            ring.extend(np.full(10, n))
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        child = os.fork()
        if child == 0:
            ok = all((ring.view() == n).all() for n, ring in enumerate(rings))
            for ring in rings:
                ring.extend(np.full(700, -1))
            os._exit(0 if ok and all((ring.view() == -1).all() for ring in rings) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert all((ring.view() == n).all() for n, ring in enumerate(rings))
    """)


def test_fork_while_a_lock_is_held():
    forked("""
        import os, threading
        from spill_ring import ArrayRing, LockedSink
        inside, go_on = threading.Event(), threading.Event()

        def slow(items):
            if threading.current_thread() is not threading.main_thread():
                inside.set()
                go_on.wait()

        shared = LockedSink(slow)
        mine, other = ArrayRing(1, sink=shared), ArrayRing(1, sink=shared)
        thread = threading.Thread(daemon=True, target=other.extend, args=([1, 2],))
        thread.start()
        inside.wait()
        child = os.fork()
        if child == 0:
            mine.extend([1, 2, 3])
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        go_on.set()
        thread.join()
    """)
