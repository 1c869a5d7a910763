"""Readers beside a writer: nothing that is removed or not yet complete is read wrongly."""
import itertools
import os
import random
import subprocess
import time

import numpy as np
import pytest

from helpers.children import command
from helpers.recordings import numbers
from spill_ring import ArrayRing, DiskSink, ObjectRing, SpillLog
from spill_ring.recording import blocks, layout
from spill_ring.recording.files import open_regular

pytestmark = pytest.mark.not_sanitized


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0, 200_000])
def test_following_another_process(tmp_path, keep):
    writer = subprocess.Popen(command("recording/record_numbers", tmp_path, keep))
    try:
        end = time.monotonic() + 300
        while not (tmp_path / "manifest").exists():
            assert time.monotonic() < end
        log, at = SpillLog(tmp_path), 0
        while at < 300_000:
            try:
                for block in log.follow(at, timeout=120):
                    assert block[0] == at and (np.diff(block) == 1).all()
                    at += len(block)
                    for path in sorted(tmp_path.glob("*.npy"))[-2:-1]:
                        try:
                            seen = np.load(path, mmap_mode="r")
                        except FileNotFoundError:
                            continue  # removed
                        assert len(seen) == 0 or (seen[0] == int(path.stem) and (np.diff(seen) == 1).all())
                    if at >= 300_000:
                        break
                else:
                    pytest.fail("nothing came")
            except IndexError as error:
                assert keep and "removed" in str(error)
                at = log.first
        assert writer.wait(30) == 0
    finally:
        writer.kill()
        writer.wait()
    assert log.verify() == [] and (log[:] == numbers(log.first, log.end)).all()


READINGS = {
    "an old slice": lambda log, first: (first, log[first : first + 40]),
    "all": lambda log, first: (log.refresh() and log.first, log[:]),
    "the last": lambda log, first: (log.refresh() - 5, log[-5:]),
    "blocks": lambda log, first: (log.first, [n for block in log.blocks(7) for n in block]),
    "by time": lambda log, first: (None, log.by_time(0, time.time())),  # of what is there by then
    "times": lambda log, first: (None, log.times()),
    "verify": lambda log, first: (None, log.verify()),
    "to follow": lambda log, first: (first, [n for block in log.follow(first, timeout=0) for n in block]),
    "afresh": lambda log, first: (None, SpillLog(log.path)[:]),
}


def is_read_right(what, log, first):
    """False: it was removed."""
    try:
        start, items = READINGS[what](log, first)
    except IndexError as error:
        assert "removed" in str(error)
        return False
    finally:
        assert log.first <= log.end
    if what == "times":
        assert not np.isnat(items).any()
    elif what == "verify":
        assert items == []
    elif len(items):
        start = int(items[0]) if start is None else start
        assert [int(n) for n in items] == list(range(start, start + len(items))), what
    return True


@pytest.mark.slow
@pytest.mark.parametrize("what", READINGS)
@pytest.mark.parametrize("kind", ["typed", "objects"])
def test_removed_between_any_two_calls_of_a_reader(tmp_path, monkeypatch, kind, what):
    """What is gone is an IndexError that says so: never damage, a missing file, or wrong items."""
    with DiskSink(tmp_path, segment_bytes=300, keep_bytes=1500, sync="never") as sink:
        ring = ArrayRing(1, "i8", sink) if kind == "typed" else ObjectRing(1, sink)

        def write_on():
            for _ in range(16):
                begin = ring.stats.pushed
                ring.extend(numbers(begin, begin + 11) if kind == "typed" else map(str, range(begin, begin + 11)))
            sink.flush()

        for moment in range(1000):
            write_on()
            log = SpillLog(tmp_path)
            first = log.first
            calls = itertools.count()

            def hooked(call, calls=calls, moment=moment):
                def hooked(*args, **kwargs):
                    if next(calls) == moment:
                        write_on()
                    return call(*args, **kwargs)

                return hooked

            with monkeypatch.context() as patch:
                patch.setattr(layout, "open_regular", hooked(open_regular))
                patch.setattr(blocks, "open_regular", hooked(open_regular))
                patch.setattr(os.path, "exists", hooked(os.path.exists))
                patch.setattr(os, "scandir", hooked(os.scandir))
                if not is_read_right(what, log, first):
                    assert first < sink.removed
            assert log.first <= log.end <= log.refresh() == sink.count and len(log[:]) == log.end - log.first > 0
            if next(calls) <= moment:
                break
        ring.clear()


@pytest.mark.slow
def test_readers_beside_a_writer_at_full_speed(tmp_path):
    writer = subprocess.Popen(command("recording/record_at_full_speed", tmp_path))
    try:
        end = time.monotonic() + 300
        while not (tmp_path / "manifest").exists():
            assert time.monotonic() < end
        log = SpillLog(tmp_path)
        while log.refresh() < 100:
            assert time.monotonic() < end
        rng = random.Random(4)
        while writer.poll() is None:
            is_read_right(rng.choice(list(READINGS)), log, log.first)
        assert writer.returncode == 0 and log.refresh() == 1_000_000
    finally:
        writer.kill()
        writer.wait()
    assert log.verify() == [] and (log[:] == numbers(log.first, log.end)).all()
