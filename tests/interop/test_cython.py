"""The door for Cython: a client compiled against the installed package."""
import gc
import importlib.machinery
import importlib.util
import re
import threading
import time
from pathlib import Path
from queue import Full

import numpy as np
import pytest

from helpers.compilers import cython_extension
from spill_ring import ArrayRing, CollectSink, SpscRing, get_include


@pytest.mark.slow
@pytest.mark.compiler
def test_compiled_by_hand(tmp_path):
    """`cythonize` adds the package's folder by itself; other ways to build have the include folder alone."""
    source = tmp_path / "by_hand.pyx"
    source.write_text("""
from spill_ring cimport ArrayRing, CollectSink, Sink
from spill_ring.threads.background cimport BackgroundSink
from spill_ring.threads.mpsc cimport MpscRing
from spill_ring.threads.spsc cimport SpscRing
def through(SpscRing ring, ArrayRing to):
    cdef double value = 0
    with nogil:
        ring.push_value(1.5)
        while ring.pop_value(&value):
            to.push_value(value)
""")
    module = cython_extension(source, tmp_path)
    ring = ArrayRing(4)
    module.through(SpscRing(4, "f8"), ring)
    assert list(ring) == [1.5]


@pytest.mark.parametrize("capacity", [1, 8, 512, 700])
def test_push_value(client, memory, capacity):
    sink = CollectSink()
    for given in (None, sink):
        ring = ArrayRing(capacity, sink=given)
        client.push_doubles(ring, 3 * capacity + 5)
        assert ring.view().tolist() == list(range(2 * capacity + 5, 3 * capacity + 5))
        assert ring.stats.pushed == 3 * capacity + 5
    assert sink.items.tolist() == list(range(2 * capacity + 5))


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_push_value_of_every_c_type(client, memory, dtype):
    ring = ArrayRing(5, dtype)
    client.push_typed(ring, 100, dtype)
    assert ring.view().tolist() == [95, 96, 97, 98, 99]


def test_push_value_of_the_wrong_type(client):
    for dtype in ("f4", "i8", ">f8", ("f8", (1,)), [("a", "f8")], "M8[s]", "c16", "?"):
        ring = ArrayRing(4, dtype)
        for _ in range(2):
            with pytest.raises(TypeError, match="so it takes no C float of 8 bytes"):
                client.push_doubles(ring, 1)
        assert ring.stats.pushed == 0
    ring = ArrayRing(4, "f8")
    client.push_doubles(ring, 2)
    with pytest.raises(TypeError, match="C float of 4"):
        client.push_typed(ring, 1, "f4")
    assert list(ring) == [0, 1]


def test_push_value_between_other_calls(client, memory):
    """What push_value is ahead of the accounting shows in every other call."""
    rng = np.random.default_rng(5)
    sink, model, pushed, popped = CollectSink(), [], 0, 0
    ring = ArrayRing(600, sink=sink)
    for _ in range(2000):
        count = int(rng.integers(0, 400))
        client.push_doubles(ring, count, pushed)
        model += range(pushed, pushed + count)
        pushed += count
        model = model[-600:]
        assert len(ring) == len(model) and ring.stats.pushed == pushed
        assert ring.is_full == (len(model) == 600) and ring.is_empty == (not model)
        call = rng.integers(8)
        if call == 0:
            ring.push(float(pushed))
            model.append(pushed)
            pushed += 1
        elif call == 1:
            out = ring.pop_many(int(rng.integers(0, 300)))
            assert out.tolist() == model[: len(out)]
            del model[: len(out)]
            popped += len(out)
        elif call == 2:
            assert ring.view().tolist() == model
        elif call == 3:
            ring.extend(np.arange(pushed, pushed + 50.0))
            model += range(pushed, pushed + 50)
            pushed += 50
        elif call == 4:
            assert "in use" not in repr(ring) and ring.latest(3).tolist() == model[-3:]
        elif call == 5:
            with ring.reserve(3) as block:
                block[:] = [pushed, pushed + 1, pushed + 2]
            model += range(pushed, pushed + 3)
            pushed += 3
        elif call == 6 and model:
            middle = len(model) // 2
            assert [ring.peek(), ring[middle], ring.peek_back()] == [model[0], model[middle], model[-1]]
        model = model[-600:]
        stats = ring.stats
        assert stats == (pushed, popped, pushed - popped - len(model), 0)
    ring.close()
    assert ring.stats.pushed == pushed
    for _ in range(2):
        with pytest.raises(ValueError, match="closed"):
            client.push_doubles(ring, 1)


class Pipeline:
    """A full ring whose oldest `push_value` moves straight into the room of what is behind it, and a model of both."""

    def __init__(self, client, capacity, behind):
        self.client, self.pushed, self.seen, self.popped = client, 0, [], 0
        self.behind = CollectSink() if behind is None else ArrayRing(behind)
        self.ring = ArrayRing(capacity, sink=self.behind)
        self.model, self.model_behind, self.kept = [], [], None if behind is None else behind

    def took(self, count):
        """The model of `count` more items pushed."""
        self.model += range(self.pushed, self.pushed + count)
        self.pushed += count
        over = max(0, len(self.model) - self.ring.capacity)
        self.model_behind += self.model[:over]
        del self.model[:over]
        if self.kept:
            del self.model_behind[: -self.kept]

    def push_values(self, count):
        self.client.push_doubles(self.ring, count, self.pushed)
        self.took(count)

    def check(self):
        spilled = self.pushed - len(self.model) - self.popped
        assert len(self.ring) == len(self.model)
        assert self.ring.stats == (self.pushed, self.popped, spilled, 0)
        assert len(self.behind) == len(self.model_behind)
        if self.kept:
            assert self.behind.stats.pushed == spilled

    def look(self, which):
        if which:
            assert self.ring.view().tolist() == self.model
        elif self.kept:
            assert self.behind.view().tolist() == self.model_behind
        else:
            assert self.behind.items.tolist() == self.model_behind


@pytest.mark.parametrize("behind", [None, 1, 64, 512, 700])
@pytest.mark.parametrize("capacity", [1, 8, 512, 700])
def test_push_value_into_the_room_of_the_sink(client, memory, capacity, behind):
    """Whoever looks finds every item in its place: in the ring, or behind it."""
    rng = np.random.default_rng(capacity * 1000 + (behind or 0))
    both = Pipeline(client, capacity, behind)
    both.push_values(capacity)
    for step in range(600):
        both.push_values(int(rng.integers(0, 3 * capacity if rng.integers(5) == 0 else 20)))
        both.check()
        call = rng.integers(9)
        if call < 2:
            both.look(call)
        elif call == 2:
            both.ring.push(float(both.pushed))
            both.took(1)
        elif call == 3 and step > 300:
            out = both.ring.pop_many(int(rng.integers(0, 10)))
            assert out.tolist() == both.model[: len(out)]
            del both.model[: len(out)]
            both.popped += len(out)
        elif call == 4:
            both.ring.extend(np.arange(both.pushed, both.pushed + 50.0))
            both.took(50)
        elif call == 5:
            taken = both.behind.take() if both.kept is None else both.behind.pop_many()
            assert taken.tolist() == both.model_behind
            both.model_behind = []
        elif call == 6 and not both.popped:
            there = both.model_behind + both.model
            assert both.ring.history.last(min(3, len(there))).tolist() == there[-3:]
    both.check()
    both.look(0)
    both.look(1)
    both.ring.close()
    assert both.behind.closed and both.ring.stats.spilled == both.pushed - both.popped


def test_push_value_from_two_rings_into_the_room_of_one(client, memory):
    sink = CollectSink()
    first, second = (ArrayRing(n, sink=sink) for n in (3, 700))
    model, resident = [], ([], [])
    for step in range(400):
        for ring, held in zip((first, second), resident, strict=True):
            client.push_doubles(ring, step % 9 * 10, step * 1000)
            held += range(step * 1000, step * 1000 + step % 9 * 10)
            over = max(0, len(held) - ring.capacity)
            model += held[:over]
            del held[:over]
    assert sink.items.tolist() == model
    assert (first.view().tolist(), second.view().tolist()) == resident
    warm = ArrayRing(2000)
    ring = ArrayRing(5, sink=warm)
    for start in range(0, 3000, 10):  # also into the one behind, directly
        client.push_doubles(ring, 5, start)
        client.push_doubles(warm, 5, start + 5)
    pushed = [n for start in range(0, 3000, 10) for n in (*range(start - 10, start - 5), *range(start + 5, start + 10))]
    assert warm.view().tolist() == pushed[-2000:]


@pytest.mark.parametrize("is_guarded", [True, False])
def test_push_value_into_the_room_of_a_sink_of_ones_own(client, is_guarded):
    """One that isn't guarded lends nothing: nobody would enter it, and have counted what is ahead."""
    ring = ArrayRing(4, sink=(sink := client.Shelf(is_guarded)))
    for start in range(0, 900, 9):
        client.push_doubles(ring, 5, start)
        assert len(sink) == ring.stats.spilled
        ring.extend(range(start + 5, start + 9))
    assert sink.items() == list(range(896))
    client.push_doubles(ring, 104, 900)
    with pytest.raises(MemoryError):
        client.push_doubles(ring, 1)
    assert len(sink) == 1000 and ring.view().tolist() == [1000, 1001, 1002, 1003]
    ring.clear()
    ring.close()


def test_push_value_goes_by_a_sink_that_has_a_way_of_its_own(client):
    ring = ArrayRing(2, sink=(sink := client.OrderedSink()))
    client.push_doubles(ring, 10)
    assert (sink.seen, sink.items.tolist()) == (8, list(range(8)))

    class Doubling(CollectSink):
        def send(self, items):
            super().send(items * 2)

    ring = ArrayRing(2, sink=(sink := Doubling()))
    client.push_doubles(ring, 10)
    assert sink.items.tolist() == list(range(0, 16, 2))


def test_push_value_beside_a_sink_that_closed(client):
    ring = ArrayRing(2, sink=(sink := CollectSink()))
    client.push_doubles(ring, 10)
    sink.close()
    for _ in range(2):
        with pytest.raises(ValueError, match="CollectSink is closed"):
            client.push_doubles(ring, 1)
    assert (sink.items.tolist(), ring.view().tolist()) == (list(range(8)), [8, 9])
    ring.clear()
    warm = ArrayRing(3)
    ring = ArrayRing(2, sink=warm)
    client.push_doubles(ring, 10)
    with warm.reserve(1):
        with pytest.raises(RuntimeError, match=r"ArrayRing has an open reserve\(\)"):
            client.push_doubles(ring, 1)
    assert (warm.view().tolist(), ring.view().tolist()) == ([6, 7, 0], [8, 9])


def test_a_dropped_pipeline_keeps_what_push_value_moved(client):
    sink = CollectSink()
    ring = ArrayRing(2, sink=ArrayRing(3, sink=sink))
    client.push_doubles(ring, 10)
    del ring
    gc.collect()
    assert sink.items.tolist() == list(range(10))


def test_history_asks_a_compiled_sink_that_speaks_for_itself(client):
    ring = ArrayRing(2, sink=client.OrderedSink())
    ring.extend(range(8))
    assert ring.history[:].tolist() == list(range(8))
    ring = ArrayRing(2, sink=client.ReversingSink())
    ring.extend(range(8))
    with pytest.raises(IndexError, match="items 1 to 4 went on to a sink that can't be read back: ReversingSink"):
        ring.history[1:4]
    assert ring.history[:].tolist() == [6, 7]


def test_a_dropped_ring_flushes_what_push_value_pushed(client):
    sink = CollectSink()
    ring = ArrayRing(100, sink=sink)
    client.push_doubles(ring, 5)
    del ring
    assert sink.items.tolist() == [0, 1, 2, 3, 4]


def test_push_and_pop_block(client, memory):
    ring = ArrayRing(1000)
    numbers = np.arange(700.0)
    client.push_block(ring, numbers)
    client.push_block(ring, numbers)
    out = np.zeros(600)
    assert client.pop_block(ring, out) == 600
    assert out.tolist() == [*range(400, 700), *range(300)]
    assert client.pop_block(ring, out) == 400
    assert client.pop_block(ring, out) == 0
    ring.close()
    with pytest.raises(ValueError, match="closed"):
        client.push_block(ring, numbers)
    with pytest.raises(ValueError, match="closed"):
        client.pop_block(ring, out)


def test_reserve_and_commit(client, memory):
    ring = ArrayRing(10, sink=(sink := CollectSink()))
    for start in range(0, 50, 5):
        client.reserve_commit(ring, np.arange(start, start + 5.0), 7)
    stored = [*sink.items.tolist(), *ring.view().tolist()]
    assert stored == list(range(50)) and len(ring) >= 8
    with pytest.raises(ValueError, match="room for 10"):
        client.reserve_commit(ring, np.arange(5.0), 11)
    with pytest.raises(ValueError, match="room for 3"):
        client.reserve_commit(ring, np.arange(5.0), 3)
    with pytest.raises(RuntimeError, match="reserve"):
        ring.push(1.0)
    ring.commit(0)
    ring.push(1.0)
    ring.clear()


def test_a_sink_in_cython(client):
    sink = client.SumSink()
    ring = ArrayRing(8, sink=sink)
    client.push_doubles(ring, 108)
    assert sink.total == sum(range(100)) and sink.blocks == 100
    ring.extend(np.arange(1000.0))
    assert sink.blocks == 102
    sink.refuse_after = sink.blocks
    before = ring.stats
    for call in (lambda: ring.push(5.0), lambda: client.push_doubles(ring, 3), ring.flush):
        with pytest.raises(OSError, match="refused"):
            call()
    assert ring.stats == before
    sink.refuse_after = -1


C_TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "l", "L", "i8", "u8", "f4", "f8"]


@pytest.mark.parametrize("kind", C_TYPES)
def test_spsc_values_of_every_c_type(spsc_client, memory, kind):
    ring = SpscRing(5, kind, (sink := CollectSink()))
    spsc_client.push_typed(ring, 100, kind)
    assert spsc_client.pop_typed(ring, 3, kind) == [95, 96, 97]
    assert ring.pop() == 98
    assert spsc_client.pop_typed(ring, 3, kind) == [99]
    assert spsc_client.pop_typed(ring, 3, kind) == []
    assert sink.items.tolist() == list(range(95)) and ring.stats == (100, 5, 95, 0)
    for other in C_TYPES:
        if np.dtype(other) != np.dtype(kind):
            for call in (spsc_client.push_typed, spsc_client.pop_typed):
                with pytest.raises(TypeError, match=r"so it takes no C .* bytes"):
                    call(ring, 1, other)
    assert ring.stats == (100, 5, 95, 0)


def test_spsc_values_where_there_are_none(spsc_client):
    for dtype in (">f8", ("f8", (1,)), [("a", "f8")], "M8[s]", "c16", "?", None):
        ring = SpscRing(4, dtype)
        for call in (spsc_client.push_typed, spsc_client.pop_typed):
            with pytest.raises(TypeError, match="so it takes no C float of 8 bytes"):
                call(ring, 1, "f8")
        assert ring.stats.pushed == 0
    with pytest.raises((TypeError, RuntimeError)):
        spsc_client.push_typed(SpscRing.__new__(SpscRing), 1, "f8")


def test_spsc_values_into_a_full_or_closed_ring(spsc_client):
    ring = SpscRing(4, overflow="reject", dtype="f8")
    with pytest.raises(Full):
        spsc_client.push_typed(ring, 5, "f8")
    assert len(ring) == 4
    ring.close()
    ring.pop()
    with pytest.raises(ValueError, match="closed"):
        spsc_client.push_typed(ring, 1, "f8")
    assert spsc_client.pop_typed(ring, 9, "f8") == [1, 2, 3]


def test_spsc_blocks(spsc_client, memory):
    ring = SpscRing(1000, "f8")
    numbers = np.arange(700.0)
    spsc_client.push_block(ring, numbers)
    assert spsc_client.try_push_block(ring, numbers) == 300
    assert spsc_client.try_push_block(ring, numbers) == 0
    spsc_client.push_block(ring, numbers)
    out = np.zeros(600)
    assert spsc_client.pop_block(ring, out) == 600
    assert out.tolist() == [*range(300), *range(300)]
    assert spsc_client.pop_block(ring, out) == 400
    assert spsc_client.pop_block(ring, out) == 0
    assert ring.stats == (1700, 1000, 0, 700)
    assert spsc_client.negative_counts(ring) == 4
    ring.close()
    for call in (spsc_client.push_block, spsc_client.try_push_block):
        with pytest.raises(ValueError, match="closed"):
            call(ring, numbers)


def test_spsc_reserve(spsc_client, memory):
    ring = SpscRing(10, "f8", (sink := CollectSink()))
    for start in range(0, 50, 5):
        spsc_client.reserve_commit(ring, np.arange(start, start + 5.0), 7)
    assert [*sink.items.tolist(), *ring.pop_many().tolist()] == list(range(50))
    with pytest.raises(ValueError, match="room for 10"):
        spsc_client.reserve_commit(ring, np.arange(5.0), 11)
    with pytest.raises(ValueError, match="room for 3"):
        spsc_client.reserve_commit(ring, np.arange(5.0), 3)
    with pytest.raises(RuntimeError, match="reserve"):
        ring.push(1.0)
    ring.commit(0)
    ring.push(1.0)


def test_spsc_wait(spsc_client):
    ring = SpscRing(10, "f8")
    ring.extend([1, 2])
    assert spsc_client.wait_items(ring, 2, 0) and not spsc_client.wait_items(ring, 3, 0)
    assert not spsc_client.wait_items(ring, 3, time.monotonic_ns() + 10**7)
    ring.close()
    assert not spsc_client.wait_items(ring, 3, 2**63 - 1)


@pytest.mark.parametrize("overflow", ["spill", "block"])
@pytest.mark.parametrize("block", [0, 1, 17, 64])
@pytest.mark.parametrize("at_once", [1, 50])
def test_spsc_threads_without_the_gil(spsc_client, overflow, block, at_once):
    n = 30_000
    ring = SpscRing(100, "f8", (sink := CollectSink()), overflow=overflow, evict_block=at_once)
    results = []
    consumer = threading.Thread(daemon=True, target=lambda: results.append(spsc_client.consume(ring, block)))
    consumer.start()
    spsc_client.produce(ring, n, block)
    ring.close()
    consumer.join()
    assert ring.pop(None) is None  # compiled code sees the end; this call closes the sink too
    [(popped, total, in_order)] = results
    spilled = sink.items if len(sink) else np.zeros(0)
    assert in_order and (np.diff(spilled) > 0).all()
    assert popped + len(spilled) == n and total + spilled.sum() == n * (n - 1) / 2
    assert ring.stats == (n, popped, len(spilled), 0) and sink.closed


@pytest.mark.not_sanitized
def test_every_declaration_ships():
    package = Path(importlib.util.find_spec("spill_ring").origin).parent
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    compiled_modules = list(package.rglob(f"*{suffix}"))
    assert compiled_modules
    for path in compiled_modules:
        assert path.with_name(path.name.removesuffix(suffix) + ".pyi").exists()
    for cimported in ("__init__", "scalar", "spsc_ring", "mpsc_ring", "background_sink"):
        assert (package / f"{cimported}.pxd").exists()
    for path in package.rglob("*.pxd"):  # and what these cimport
        assert (path.parent / "__init__.pxd").exists()
        for name in re.findall(r"^from (spill_ring[.\w]*) cimport", path.read_text(), re.MULTILINE):
            cimported = package.parent.joinpath(*name.split("."))
            assert cimported.with_suffix(".pxd").exists() or (cimported / "__init__.pxd").exists(), (path, name)
    assert (package / "py.typed").exists() and (package / "_core" / "mirror.h").exists()
    assert (package / "threads" / "parking.h").exists()
    headers = {path.name for path in Path(get_include(), "spill_ring").iterdir()}
    assert {"spsc.h", "portable.h", "interface.h"} <= headers
