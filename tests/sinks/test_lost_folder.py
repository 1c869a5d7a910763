"""A `DiskSink` whose folder is gone: the first `close` says what is lost, and the next one closes."""
import os
import shutil
import subprocess
import time
import warnings

import pytest

from helpers.children import command
from helpers.recordings import numbers, read_all, record_numbers
from spill_ring import (
    ArrayRing,
    BackgroundSink,
    BatchSink,
    DiskSink,
    LockedSink,
    MpscRing,
    ObjectRing,
    ReduceSink,
    SpscRing,
    TeeSink,
)

pytestmark = pytest.mark.not_sanitized


# Each is done by a rename, in one step, since the sink's thread may be writing there.
def move(folder):
    return folder.rename(folder.with_name("moved"))


def remove(folder):
    shutil.rmtree(move(folder))


def replace(folder):
    other = folder.with_name("other")
    record_numbers(other, 3)
    move(folder)
    other.rename(folder)


CHAINS = {
    "ArrayRing": lambda sink: ArrayRing(3, "i8", sink),
    "SpscRing": lambda sink: SpscRing(3, "i8", sink),
    "MpscRing": lambda sink: MpscRing(3, "i8", sink, producers=1),
    "batch": lambda sink: ArrayRing(3, "i8", BatchSink(4, sink)),
    "two batches": lambda sink: ArrayRing(3, "i8", BatchSink(4, BatchSink(3, sink))),
    "reduce": lambda sink: ArrayRing(3, "i8", ReduceSink(1, lambda block: block[0], sink)),
    "locked": lambda sink: ArrayRing(3, "i8", LockedSink(sink)),
    "background": lambda sink: ArrayRing(3, "i8", BackgroundSink(sink, 100)),
    "batch behind background": lambda sink: ArrayRing(3, "i8", BackgroundSink(BatchSink(2, sink), 100)),
    "tee": lambda sink: ArrayRing(3, "i8", TeeSink(sink)),
    "rings": lambda sink: ArrayRing(3, "i8", ArrayRing(5, "i8", sink)),
}


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("lose", [remove, move, replace])
@pytest.mark.parametrize("interval", [3600, 0.002])
def test_the_second_close_closes(tmp_path, chain, lose, interval):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ring = CHAINS[chain](sink := DiskSink(tmp_path / "log", interval=interval, sync="never"))
        source = ring.producers[0] if chain == "MpscRing" else ring
        source.extend(numbers(10))
        lose(tmp_path / "log")
        time.sleep(0.02 if interval < 1 else 0)
        errors = []
        for n in range(10, 20):  # The sink's thread may have met it already: the push says so, once.
            try:
                source.push(n)
            except FileNotFoundError as error:
                errors.append(error)
        closes = 0
        while not (ring.closed and sink.closed):
            closes += 1
            try:
                ring.close()
                if chain in ("SpscRing", "MpscRing"):
                    ring.flush()  # sends on what nobody popped
            except (FileNotFoundError, ValueError) as error:
                errors.append(error)
            assert closes <= 2
    assert any("was removed under the recording, or moved, with items 0 to " in str(error) for error in errors)


def test_what_is_lost_is_said_by_a_warning_as_it_closes(tmp_path):
    ring = ObjectRing(3, DiskSink(tmp_path / "log", interval=3600))
    ring.extend("abcdef")
    move(tmp_path / "log")
    with pytest.raises(FileNotFoundError, match="or moved, with items 0 to 6"):
        ring.close()
    assert not ring.closed
    with pytest.warns(RuntimeWarning, match=r"DiskSink\(.*\) was closed with a loss: .* or moved, with items 0 to 6"):
        ring.close()
    assert ring.closed
    assert read_all(tmp_path / "moved") == list("abcdef")  # nothing is lost of a folder that was only moved


def test_a_folder_that_comes_back_is_as_good_as_before(tmp_path):
    with ArrayRing(3, "i8", DiskSink(tmp_path / "log", interval=3600)) as ring:
        ring.extend(numbers(10))
        move(tmp_path / "log")
        with pytest.raises(FileNotFoundError):
            ring.close()
        (tmp_path / "moved").rename(tmp_path / "log")
        ring.extend(numbers(10, 20))
    assert (read_all(tmp_path / "log") == numbers(20)).all()


def test_another_process_that_took_the_lock_ends_the_recording(tmp_path):
    ring = ArrayRing(3, "i8", sink := DiskSink(tmp_path, interval=3600))
    ring.extend(numbers(10))
    (tmp_path / "lock").unlink()
    with subprocess.Popen(command("recording/hold_lock", tmp_path / "lock"), stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(BlockingIOError, match=f"process {other.pid} writes to it"):
            ring.close()
        with pytest.warns(RuntimeWarning, match=f"process {other.pid} writes to it"):
            ring.close()
        other.kill()
    assert ring.closed and sink.closed


@pytest.mark.parametrize("error", [OSError(5, "as the disk is"), OSError(28, "full")])
def test_a_disk_that_fails_keeps_the_ring_open(tmp_path, monkeypatch, error):
    """However often it is closed, until the disk has all."""

    def fail(fd):
        raise error

    ring = ArrayRing(3, "i8", sink := DiskSink(tmp_path, interval=3600))
    ring.extend(numbers(10))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        for _ in range(3):
            with pytest.raises(OSError, match=error.strerror):
                ring.close()
            assert not ring.closed and not sink.closed
    ring.close()
    assert (read_all(tmp_path) == numbers(10)).all()
