"""What the tests of recordings share."""
import os
import warnings

import numpy as np

from spill_ring import ArrayRing, DiskSink, SpillLog


def numbers(start, stop=None):
    return np.arange(start, stop, dtype="i8")


def record_numbers(folder, count=1000, block=10, **options):
    """0, 1, 2, … in blocks."""
    with ArrayRing(1, "i8", DiskSink(folder, **options)) as ring:
        for n in range(0, count, block):
            ring.extend(numbers(n, min(n + block, count)))


def read_all(folder):
    """What is there, all of it checked; None: no recording."""
    try:
        log = SpillLog(folder)
    except FileNotFoundError:
        return None
    assert log.verify() == []
    items = log[:]
    assert log.first == 0 and len(items) == len(log) == log.end
    return list(items) if log.dtype is None else items


def check_resumed(folder, acknowledged, encode=int):
    """After a crash: a prefix is there that holds what was acknowledged, and the recording goes on."""
    found = read_all(folder)
    count = 0 if found is None else len(found)
    assert count >= acknowledged
    if count:
        assert [encode(n) for n in range(count)] == list(found)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with DiskSink(folder, segment_bytes=300) as sink:
            for begin, end in ((count, count + 8), (count + 8, count + 50)):
                if encode is int:
                    sink.send(numbers(begin, end))
                else:
                    for n in range(begin, end):
                        sink.send(encode(n))
                assert SpillLog(folder).end == end  # nothing of what was cut off came back behind it
            assert sink.count == count + 50  # the reader and the writer agree on where it ended
    assert all("cut off" in str(warning.message) for warning in caught)
    assert [encode(n) for n in range(count + 50)] == list(read_all(folder))
    return len(caught)


# Every second one in CI, elsewhere some, as they take minutes. SPILL_RING_STEP=1: all.
STEP = int(os.environ.get("SPILL_RING_STEP", 2 if os.environ.get("SPILL_RING_CI") else 9))
