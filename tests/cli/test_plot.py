"""Pictures of recordings: nothing missed, whatever is in them, in bounded memory."""
import os
import tracemalloc

import numpy as np
import pytest

from spill_ring import ArrayRing, DiskSink, SpillLog
from spill_ring.cli import plot as module
from spill_ring.cli import scan
from spill_ring.cli.columns import columns
from spill_ring.cli.plot import envelope, lines_through, panels_of, to_png, to_terminal

pytestmark = [pytest.mark.not_sanitized, pytest.mark.thread_unsafe(reason="writes files, and sets the size of a block")]

RECORD = [("t", "M8[ms]"), ("x", "f8"), ("n", "i4", (2,))]


def recording(folder, items, **options):
    with ArrayRing(1, np.dtype((items.dtype, items.shape[1:])), DiskSink(folder, sync="never", **options)) as ring:
        for some in np.array_split(items, 7):
            ring.extend(some)
    return SpillLog(folder)


def lines_of(found):
    return {name: line for lines in found.panels.values() for name, line in lines.items()}


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 7, 999, 5000])
@pytest.mark.parametrize("dtype", [">f4", "i8", "?", ("f4", (3,)), RECORD], ids=str)
def test_the_envelope_holds_every_peak(tmp_path, monkeypatch, width, dtype):
    monkeypatch.setattr(scan, "BLOCK", 700)
    dtype = np.dtype(dtype)
    items = np.zeros(1000, dtype)
    random = np.random.default_rng(3)
    for column in columns(items).values():
        column[:] = random.integers(0, 100, 1000) if column.dtype.kind != "M" else np.arange(1000).astype("M8[ms]")
    log = recording(tmp_path / "log", items, segment_bytes=3000)
    told = []
    found = envelope(log, width, told.append)
    assert sum(told) == items.nbytes
    starts = np.arange(min(width, 1000)) * 1000 // min(width, 1000)
    runs = np.split(np.arange(1000), starts[1:])
    values = columns(items)
    assert set(lines_of(found)) == {name for name, column in values.items() if column.dtype.kind != "M"}
    for name, (low, high) in lines_of(found).items():
        np.testing.assert_array_equal(low, [values[name][run].min() for run in runs])
        np.testing.assert_array_equal(high, [values[name][run].max() for run in runs])
    np.testing.assert_array_equal(found.at, items["t"][starts] if dtype.names else starts)


def test_what_is_no_number_is_passed_over(tmp_path):
    items = np.array([np.nan, 1, 5, np.nan, np.nan, np.nan, 7, np.nan, 3])
    (low, high), = lines_of(envelope(recording(tmp_path / "log", items), 3, int)).values()
    np.testing.assert_array_equal(low, [1, np.nan, 3])
    np.testing.assert_array_equal(high, [5, np.nan, 7])


def test_after_the_oldest_were_removed(tmp_path):
    log = recording(tmp_path / "log", np.arange(1000.0), segment_bytes=1000, keep_bytes=3000)
    assert log.first > 0
    found = envelope(log, 10, int)
    assert found.at[0] == log.first
    (low, high), = lines_of(found).values()
    assert (low[0], high[-1]) == (log.first, 999)


def test_damaged_items_leave_a_gap_and_no_more(tmp_path):
    log = recording(tmp_path / "log", np.arange(700, dtype="i4"))
    segment, = (tmp_path / "log").glob("*.npy")
    data = bytearray(segment.read_bytes())
    data[-700 * 4 + 250 * 4] ^= 1  # in the third block of seven
    segment.write_bytes(data)
    damage, = log.verify()
    (low, high), = lines_of(envelope(SpillLog(log.path), 700, int)).values()
    expected = np.arange(700.0)
    expected[damage.first : damage.last] = np.nan
    assert 500 < np.isfinite(expected).sum() < 700
    np.testing.assert_array_equal(low, expected)
    np.testing.assert_array_equal(high, expected)


def test_no_line_crosses_a_gap():
    low = np.array([np.nan, 1, 2, np.nan, np.nan, 4, np.inf, 5, 6, np.nan])
    lines = [(x.tolist(), y.tolist()) for x, y in lines_through(np.arange(10), low, low)]
    assert lines == [([1, 2], [1, 2]), ([5], [4]), ([7, 8], [5, 6])]
    lines = [(x.tolist(), y.tolist()) for x, y in lines_through(np.arange(10), low, low + 1)]
    assert lines == [([1, 1, 2, 2], [1, 2, 2, 3]), ([5, 5], [4, 5]), ([7, 7, 8, 8], [5, 6, 6, 7])]
    times = np.array(["2026-01-01", "NaT", "2026-01-02"], "M8[D]")
    assert [len(x) for x, y in lines_through(times, np.ones(3), np.ones(3))] == [1, 1]
    assert lines_through(np.arange(2), np.full(2, np.nan), np.full(2, np.nan)) == []


def test_no_more_than_a_part_is_mapped_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "BLOCK", 5_000)
    monkeypatch.setattr(scan, "PART", 20_000)
    log = recording(tmp_path / "log", np.arange(20_000.0), segment_bytes=10_000)
    mapped = []

    def look(nbytes):
        with open("/proc/self/maps") as maps:
            mapped.append(sum(log.path in line for line in maps))

    if not os.path.exists("/proc/self/maps"):
        pytest.skip("the system doesn't tell what is mapped")
    envelope(log, 100, look)
    assert len(mapped) > 20
    assert 0 < max(mapped) <= 6  # of 16 segments


def test_memory_does_not_grow_with_the_recording(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "BLOCK", 1 << 16)
    peaks = []
    for count in (10_000, 2_000_000):
        log = recording(tmp_path / str(count), np.arange(float(count)))
        tracemalloc.start()
        envelope(log, 1000, int)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (1 << 18), peaks


ODD = {
    "one": np.ones(1),
    "constant": np.full(10, 5.0),
    "not numbers": np.full(10, np.nan),
    "gaps": np.where(np.arange(100) % 10 < 3, np.nan, np.arange(100.0)),
    "infinite": np.array([1, np.inf, -np.inf, 3, np.nan]),
    "huge": np.array([1e308, -1e308, 0]),
    "tiny": np.array([5e-324, 0]),
    "large and near": 10**15 + np.arange(50, dtype="i8"),
    "bool": np.arange(10) % 2 == 0,
    "f2": np.arange(10, dtype="f2"),
    "frames": np.arange(60, dtype="i2").reshape(-1, 3),
    "many channels": np.zeros((5, 100), "f4"),
    "times": np.array([(n, n) for n in range(100)], [("t", "M8[s]"), ("x", "f8")]),
    "the same time": np.zeros(5, [("t", "M8[us]"), ("x", "f8")]),
    "no time": np.array([("NaT", 1), ("NaT", 2)], [("t", "M8[us]"), ("x", "f8")]),
    "many fields": np.zeros(5, [(f"field{n}", "f4") for n in range(30)]),
}


@pytest.mark.slow
@pytest.mark.parametrize("items", [pytest.param(items, id=name) for name, items in ODD.items()])
def test_whatever_is_recorded_can_be_drawn(tmp_path, monkeypatch, items):
    pytest.importorskip("plotext")
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(module, "PANELS", 3)
    found = envelope(recording(tmp_path / "log", items), 80, int)
    drawn = to_terminal(found, 80)
    lines = drawn.splitlines()
    assert len(lines) >= module.ROWS * len(found.panels)
    for field in found.panels:
        assert field in drawn
    to_png(found, "odd", tmp_path / "odd.png")
    png = (tmp_path / "odd.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(png[16:20], "big") == 900  # pixels across


def test_a_sine_looks_like_one(tmp_path):
    pytest.importorskip("plotext")
    items = np.sin(np.arange(100_000) * 2 * np.pi / 100_000)
    drawn = to_terminal(envelope(recording(tmp_path / "log", items), 160, int), 80)
    inked = [sum("\u2801" <= character <= "\u28ff" for character in line) for line in drawn.splitlines()]
    left = [sum("\u2801" <= character <= "\u28ff" for character in line[:42]) for line in drawn.splitlines()]
    upper, lower = slice(2, 4), slice(5, 7)
    assert sum(inked) > 60
    assert sum(left[upper]) > sum(left[lower])  # the first half is up
    assert sum(inked[lower]) - sum(left[lower]) > sum(inked[upper]) - sum(left[upper])  # and the second down


def test_as_many_panels_and_lines_as_have_room():
    dtype = np.dtype([("name", "S3"), *((f"field{n}", "f4", (20,)) for n in range(30)), ("c", "c8")])
    panels = panels_of(dtype)
    assert list(panels) == [f"field{n}" for n in range(module.PANELS)]
    assert [line.name for line in panels["field3"]] == [f"field3[{n}]" for n in range(module.LINES)]
