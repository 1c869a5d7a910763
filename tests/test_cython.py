"""The door for Cython: a client compiled against the installed package."""
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spill_ring import ArrayRing, CollectSink

HERE = Path(__file__).parent
SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup
setup(name="client", ext_modules=cythonize([Extension("client", ["client.pyx"])]))
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """tests/client/client.pyx, compiled as a user would: no include folder, no link flag."""
    folder = tmp_path_factory.mktemp("client")
    shutil.copy(HERE / "client" / "client.pyx", folder)
    (folder / "setup.py").write_text(SETUP)
    done = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "performance hint" not in done.stdout + done.stderr, done.stdout + done.stderr
    [built] = folder.glob("client.*.so")
    spec = importlib.util.spec_from_file_location("client", built)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
            with pytest.raises(TypeError, match="push_value of a C float of 8 bytes"):
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


def test_every_declaration_ships():
    package = Path(importlib.util.find_spec("spill_ring").origin).parent
    names = {path.name for path in package.iterdir()}
    modules = ["storage", "block", "sink", "ring", "loan", "park", "object_ring", "array_ring", "spsc_ring"]
    for module in [*modules, "mpsc_ring", "background_sink"]:
        assert {f"{module}.pxd", f"{module}.pyi"} <= names
    assert {"__init__.pxd", "__init__.pyi", "guard.pxd", "scalar.pxd", "py.typed", "storage.h", "park.h"} <= names
