"""`SpillLog`: reads by number and by time."""
import gc
import time

import numpy as np
import pytest

from helpers.recordings import numbers, record_numbers
from spill_ring import DamagedError, DiskSink, SpillLog

pytestmark = pytest.mark.not_sanitized


def test_a_slice_in_a_segment_is_the_file(tmp_path):
    record_numbers(tmp_path, 1000, 100)
    log = SpillLog(tmp_path)
    items = log[200:700]
    assert not items.flags.writeable and not items.flags.writeable and np.shares_memory(items, log[300:301])
    assert (items == numbers(200, 700)).all() and log[900:2000].tolist() == list(range(900, 1000))
    assert log[10:30:7].tolist() == [10, 17, 24] and log[5:5].tolist() == [] and log[7:3].tolist() == []
    for key, error in ((1000, IndexError), (-1001, IndexError), ("a", AttributeError), (1.5, AttributeError)):
        with pytest.raises((error, TypeError)):
            log[key]
    del log
    gc.collect()
    assert (items == numbers(200, 700)).all()


def test_blocks(tmp_path):
    record_numbers(tmp_path, 1000, 10, segment_bytes=1500)
    log = SpillLog(tmp_path)
    assert np.concatenate(list(log.blocks())).tolist() == list(range(1000))
    blocks = list(log.blocks(64, start=100, stop=555))
    assert np.concatenate(blocks).tolist() == list(range(100, 555)) and max(map(len, blocks)) == 64
    assert not any(block.flags.owndata for block in blocks)
    assert [int(n) for n in log] == list(range(1000))
    with pytest.raises(ValueError, match="at least 1"):
        next(log.blocks(0))


def test_by_time(tmp_path):
    moments = []
    with DiskSink(tmp_path, segment_bytes=300) as sink:
        for n in range(0, 100, 10):
            moments.append(time.time())
            sink.send(numbers(n, n + 10))
            time.sleep(0.002)
    log = SpillLog(tmp_path)
    assert log.by_time(moments[3], moments[6]).tolist() == list(range(30, 60))
    assert log.by_time(0, moments[0]).tolist() == [] and log.by_time(0, time.time()).tolist() == list(range(100))
    assert log.by_time(moments[9], time.time() + 9).tolist() == list(range(90, 100))
    times = log.times(25, 45)
    assert len(times) == 20 and times.dtype == "M8[ns]" and (np.diff(times) >= np.timedelta64(0, "ns")).all()
    assert log.by_time(times[5], times[15]).tolist() == list(range(30, 40))
    with pytest.raises(TypeError, match="a time is"):
        log.by_time("yesterday", 1.0)
    for never in (float("nan"), np.float32("nan"), np.datetime64("NaT", "ns")):
        with pytest.raises(ValueError, match=r"a time can't be .*(nan|NaT)"):
            log.by_time(0, never)
    assert log.by_time(float("-inf"), float("inf")).tolist() == log.by_time(-1e30, 10**30).tolist() == list(range(100))


def test_damage_elsewhere_leaves_times_and_numbers_right(tmp_path):
    moments = []
    with DiskSink(tmp_path / "log", segment_bytes=300) as sink:
        for n in range(0, 200, 20):
            moments.append(time.time())
            sink.send(numbers(n, n + 20))
            time.sleep(0.002)
        moments.append(time.time())
    indexes = sorted((tmp_path / "log").glob("*.index"))
    firsts = [int(path.name[:20]) for path in indexes] + [200]
    assert len(indexes) > 5
    for i, path in enumerate(indexes[:-1]):
        data = path.read_bytes()
        path.write_bytes(b"")
        log = SpillLog(tmp_path / "log")
        for j in range(10):
            if 20 * j + 20 <= firsts[i] or 20 * j >= firsts[i + 1]:
                assert log.by_time(moments[j], moments[j + 1]).tolist() == list(range(20 * j, 20 * j + 20))
        path.write_bytes(data)
    log = SpillLog(tmp_path / "log")
    for read in (log.blocks, log.times):
        with pytest.raises(IndexError, match="item -1 is not there"):
            list(read(start=-201))
    assert [block.tolist() for block in log.blocks(3, start=-5)] == [[195, 196, 197], [198, 199]]
    assert len(log.times(-5, -2)) == 3 and next(log.follow(-2, timeout=0)).tolist() == [198, 199]
    with pytest.raises(IndexError, match="item -1 is not there"):
        log[-201:]
    for index in ("a", 1.5, [1]):
        with pytest.raises(TypeError):
            log[index]
    # The end is not there: whoever goes to the end is told.
    indexes[-1].with_suffix(".npy").unlink()
    log = SpillLog(tmp_path / "log")
    found = []
    with pytest.raises(DamagedError, match="missing"):
        found.extend(log)
    assert found == list(range(firsts[-2]))


def test_reading_changes_nothing(tmp_path):
    record_numbers(tmp_path, 1000, segment_bytes=2000)
    (tmp_path / "00000000000000000999.npy").write_bytes(b"")  # a segment that was just being begun

    def everything():
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}

    before = everything()
    log = SpillLog(tmp_path)
    assert (log[:] == numbers(1000)).all() and log.verify() == []
    log.refresh()
    next(log.follow(0, timeout=0))
    assert everything() == before


def test_a_copy_is_no_map(tmp_path):
    record_numbers(tmp_path, 1000, segment_bytes=2000)
    log = SpillLog(tmp_path, copy=True)
    items = log[:100]
    items[0] = 5
    assert log[0] == 0 and items.flags.writeable
    log = SpillLog(tmp_path, copy=False)
    assert not log[:100].flags.writeable
    with pytest.raises(ValueError, match=r"items 0 to 1000 lie in \d+ files, so an array of them is a copy"):
        log[:]


def test_more_segments_than_file_descriptors(tmp_path):
    resource = pytest.importorskip("resource")
    record_numbers(tmp_path, 2000, 10, segment_bytes=200, sync="never")
    assert len(list(tmp_path.glob("*.npy"))) >= 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    log = SpillLog(tmp_path)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        kept = list(log.blocks())  # maps, which need no descriptor
        assert (log[:] == numbers(2000)).all() and (log.by_time(0, time.time() + 1) == numbers(2000)).all()
        assert len(kept) >= 200 and log.verify() == [] and not np.isnat(log.times()).any()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
