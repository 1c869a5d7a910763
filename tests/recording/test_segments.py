"""Segments: which blocks count, while they are written and after a crash."""
import errno
import os
import shutil
import threading
import warnings

import numpy as np
import pytest

from helpers.children import run_child
from helpers.recordings import check_resumed, numbers, record_numbers
from spill_ring import ArrayRing, DiskSink, ObjectRing, SpillLog
from spill_ring.recording import blocks, layout, segment
from spill_ring.recording.files import open_regular
from spill_ring.recording.layout import header_of, with_count

pytestmark = pytest.mark.not_sanitized


@pytest.mark.parametrize("kind", ["typed", "objects"])
def test_segments_that_are_not_sealed_yet(tmp_path, monkeypatch, kind):
    """A disk that takes its time: the producer goes on, readers see all of it, and a copy of that moment goes on."""
    encode = int if kind == "typed" else str
    may_sync = threading.Event()
    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (may_sync.wait(), fdatasync(fd))[1])
    may_sync.set()
    with DiskSink(tmp_path / "log", segment_bytes=400, interval=3600) as sink:
        ring = ArrayRing(1, "i8", sink) if kind == "typed" else ObjectRing(1, sink)
        ring.push(encode(0))
        ring.push(encode(1))
        may_sync.clear()
        log = SpillLog(tmp_path / "log")
        count = 1
        while len(list((tmp_path / "log").glob("*.index"))) < 3:  # the third one begun, and none is sealed
            count += 1
            ring.push(encode(count))
        assert log.refresh() == count and log[-1] == encode(count - 1)
        assert list(SpillLog(tmp_path / "log")) == [encode(n) for n in range(count)]
        manifest = (tmp_path / "log" / "manifest").read_bytes()
        shutil.copytree(tmp_path / "log", tmp_path / "crashed")
        may_sync.set()
        sink.flush()
        assert log.refresh() == count and log.verify() == []
        ring.clear()
    assert (tmp_path / "log" / "manifest").read_bytes() != manifest
    assert (tmp_path / "crashed" / "manifest").read_bytes() == manifest

    assert check_resumed(tmp_path / "crashed", count, encode) == 0  # nothing to be cut off
    # The same, but the first segment's last block was not there: what comes after it does not count.
    shutil.rmtree(tmp_path / "crashed")
    shutil.copytree(tmp_path / "log", tmp_path / "crashed")
    (tmp_path / "crashed" / "manifest").write_bytes(manifest)
    first, second, third = sorted((tmp_path / "crashed").glob("*.index"))
    for index, items in ((first, 3), (second, 0), (third, 0)):
        with open(index.with_suffix(".npy" if kind == "typed" else ".log"), "r+b") as file:
            file.write(with_count(header_of(log.dtype), items))
    os.truncate(first, os.stat(first).st_size - 56)
    end = int(second.name[:20]) - 1
    assert SpillLog(tmp_path / "crashed").end == end
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with DiskSink(tmp_path / "crashed", segment_bytes=400) as sink:
            for n in range(end, end + 100):
                sink.send(numbers(n, n + 1) if kind == "typed" else str(n))
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 2 and f"from item {end + 1} on, which do not follow" in texts[0]
    assert list(SpillLog(tmp_path / "crashed")) == [encode(n) for n in range(end + 100)]

    # Where a later segment counts something, all before it was there once: so it is damaged, and all else is readable.
    with open((tmp_path / "log" / second.name).with_suffix(".npy" if kind == "typed" else ".log"), "r+b") as file:
        file.seek(200)
        byte = file.read(1)
        file.seek(200)
        file.write(bytes([byte[0] ^ 1]))
    (tmp_path / "log" / "manifest").write_bytes(manifest)
    log = SpillLog(tmp_path / "log")
    assert log.end == count
    damage, = log.verify()
    assert end < damage.first < damage.last <= count
    assert list(log[: damage.first]) + list(log[damage.last :]) == [
        encode(n) for n in range(count) if not damage.first <= n < damage.last
    ]


@pytest.mark.parametrize("segments", [1, 20])
def test_opening_a_recording_reads_each_file_once(tmp_path, monkeypatch, segments):
    record_numbers(tmp_path, 34 * segments, 34, segment_bytes=400)
    assert len(list(tmp_path.glob("*.npy"))) == segments
    opened = []

    def counted(path, *flags):
        opened.append(path)
        return open_regular(path, *flags)

    for module in (layout, blocks):
        monkeypatch.setattr(module, "open_regular", counted)
    log = SpillLog(tmp_path)
    assert log.end == 34 * segments
    last = str(max(tmp_path.glob("*.index")))
    assert sorted(path for path in opened if not path.endswith(".npy")) == [last, str(tmp_path / "manifest")]
    opened.clear()
    log.refresh()
    assert sorted(opened) == sorted([last, str(tmp_path / "manifest"), last.replace(".index", ".npy")])


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 5000])
def test_a_follower_copies_no_pages(tmp_path, size):
    """But in steps that double: what it costs to look is what is new. Small blocks share a page, large ones don't."""
    with DiskSink(tmp_path, sync="never") as sink:
        sink.send(numbers(size))
        found = segment.Segment(str(tmp_path), 0, np.dtype("i8"))
        copies = 0
        for n in range(1, 1000):
            before = found.pages.array
            found.refresh()
            copies += not np.shares_memory(before, found.pages.array)
            assert len(found.pages.array) == len(found.pages.is_checked) == (1 if size == 1 else n)
            assert found.end == n * size and found.pages.array["count"].sum() == n
            sink.send(numbers(n * size, (n + 1) * size))
        assert copies <= 12
        entries = np.concatenate([found.entries(i) for i in range(len(found.pages.array))])
        assert entries["first"].tolist() == list(range(0, 999 * size, size))


@pytest.mark.parametrize("kind", ["typed", "objects"])
@pytest.mark.parametrize("looks_at_once", [True, False])
@pytest.mark.parametrize("counts", [[3, 9], [7], [12], [1, 1]])
def test_a_reader_that_saw_a_block_which_was_cut_back(tmp_path, monkeypatch, kind, looks_at_once, counts):
    """Its sync failed. The reader goes on with what came in its place."""

    def send(count):
        begin = sink.count
        if kind == "typed":
            sink.send(numbers(begin, begin + count))
        else:
            ring.extend([str(n) for n in range(begin, begin + count)])
            try:
                ring.flush()
            finally:
                ring.clear()

    def fail(fd):
        assert log.refresh() == 12 and [int(n) for n in log[:]] == list(range(12))
        raise OSError(errno.EIO, "as the disk is")

    with DiskSink(tmp_path, sync="always") as sink, ObjectRing(20, sink if kind == "objects" else None) as ring:
        send(5)
        log = SpillLog(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail)
            with pytest.raises(OSError, match="as the disk is"):
                send(7)
        if looks_at_once:
            assert log.refresh() == 5 and log.verify() == []
        for count in counts:
            send(count)
            assert log.refresh() == sink.count and log.verify() == []
            assert [int(n) for n in log[:]] == list(range(sink.count))


def test_what_a_reader_has_mapped_is_not_cut_off(tmp_path):
    """It saw a block whose sync failed, and the next write found the disk full: the reader is not killed by SIGBUS."""
    run_child("recording/fail_under_a_reader", tmp_path)
