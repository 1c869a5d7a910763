"""What the command line records: every kind of source, to its last item."""
import fcntl
import os
import threading
import time
import wave

import numpy as np
import pytest

from spill_ring import ArrayRing, CollectSink
from spill_ring.cli.pump import pump
from spill_ring.cli.sources import SYSTEM, open_source, widened

pytestmark = [pytest.mark.not_sanitized, pytest.mark.thread_unsafe(reason="signals, files and threads of their own")]


def recorded(name, dtype=None, rate=None, seconds=None):
    """All items of a source, and how many bytes it had behind the last."""
    stop, start = os.pipe()
    sink = CollectSink()
    with open_source(str(name), dtype, rate) as source, ArrayRing(5, source.dtype, sink) as ring:
        part, _ = pump(source, ring, ring.flush, stop, int, seconds)
    os.close(stop)
    os.close(start)
    return sink.items, part


def write_wav(path, channels, width, frames):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(48_000)
        file.writeframes(frames)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("dtype", ["u1", "<i2", "<i4"])
def test_a_wav_file(tmp_path, channels, dtype):
    random = np.random.default_rng(1)
    shape = (1000,) if channels == 1 else (1000, channels)
    frames = random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    write_wav(tmp_path / "a.wav", channels, frames.itemsize, frames.tobytes())
    items, part = recorded(tmp_path / "a.wav")
    assert part == 0
    np.testing.assert_array_equal(items, frames, strict=True)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_wav_file_of_24_bits_keeps_its_values(tmp_path, channels):
    values = np.array([0, 1, -1, 255, 256, -256, 2**23 - 1, -(2**23), 65536] * 50_000, "<i4")
    frames = values.view("u1").reshape(-1, 4)[:, :3]
    write_wav(tmp_path / "a.wav", channels, 3, frames.tobytes())  # more than is read at once
    items, _ = recorded(tmp_path / "a.wav")
    np.testing.assert_array_equal(items, values if channels == 1 else values.reshape(-1, 3), strict=True)


def test_24_bits_widened():
    np.testing.assert_array_equal(widened(np.array([[255, 255, 255], [0, 0, 128]], "u1")), [-1, -(2**23)])


def test_what_follows_the_samples_is_not_recorded(tmp_path):
    path = tmp_path / "a.wav"
    write_wav(path, 1, 2, np.arange(10, dtype="<i2").tobytes())
    with open(path, "ab") as file:
        file.write(b"LIST\x04\x00\x00\x00abcd")
    np.testing.assert_array_equal(recorded(path)[0], np.arange(10))


def test_a_wav_file_that_claims_more_than_it_has(tmp_path):
    # as programs write that send it to a pipe
    path = tmp_path / "a.wav"
    write_wav(path, 1, 2, np.arange(10, dtype="<i2").tobytes())
    with open(path, "r+b") as file:
        file.seek(40)
        file.write(b"\xff\xff\xff\x7f")
    with open_source(str(path)) as source:
        assert source.nbytes == 20
    np.testing.assert_array_equal(recorded(path)[0], np.arange(10))


@pytest.mark.parametrize("data, message", [(b"", "ends within its header"), (b"RIFF0000WAVX", "not a WAVE file")])
def test_a_wav_file_that_is_none(tmp_path, data, message):
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        recorded(path)


def test_a_raw_file(tmp_path):
    path = tmp_path / "samples.f4"
    path.write_bytes(np.arange(1000, dtype="f4").tobytes() + b"abc")
    items, part = recorded(path, "2f4")
    assert part == 3
    np.testing.assert_array_equal(items, np.arange(1000, dtype="f4").reshape(-1, 2), strict=True)


def test_a_named_pipe_is_read_to_its_end(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def feed():
        with open(path, "wb", buffering=0) as pipe:
            for n in range(10):
                pipe.write(np.full(100, n, "i2").tobytes())

    thread = threading.Thread(target=feed)
    thread.start()
    items, _ = recorded(path, "i2")
    thread.join()
    np.testing.assert_array_equal(items, np.repeat(np.arange(10), 100))


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("a.npy", {"rate": 5}, "--rate is for system"),
        ("a.wav", {"dtype": "f4"}, "a .wav file knows its own"),
        ("system", {"dtype": "f4"}, "system knows its own"),
        ("samples", {}, "samples: raw items need their --dtype"),
    ],
)
def test_options_that_do_not_belong(tmp_path, monkeypatch, name, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").write_bytes(b"1234")
    with pytest.raises(ValueError, match=message):
        recorded(name, **options)


# -- this machine --------------------------------------------------------------------------------


@pytest.mark.slow
def test_this_machine_is_sampled():
    psutil = pytest.importorskip("psutil")
    before = np.datetime64(time.time_ns() // 1000, "us")
    for seconds in (0.5, 5, 50):  # a machine with more to do takes longer
        items, part = recorded("system", rate=100, seconds=seconds)
        if len(items) >= 5:
            break
    after = np.datetime64(time.time_ns() // 1000, "us")
    assert (items.dtype, part) == (SYSTEM, 0)
    assert 5 <= len(items) <= 100 * seconds
    assert (items["time"][1:] > items["time"][:-1]).all()
    assert before <= items["time"][0] and items["time"][-1] <= after
    assert ((0 <= items["cpu_percent"]) & (items["cpu_percent"] <= 100)).all()
    assert ((0 < items["memory_bytes"]) & (items["memory_bytes"] < psutil.virtual_memory().total)).all()
    for name in SYSTEM.names[3:]:
        assert (np.diff(items[name]) >= 0).all()


@pytest.mark.slow
def test_the_processor_is_seen_at_work():
    pytest.importorskip("psutil")
    stop, start = os.pipe()
    ring = ArrayRing(1000, SYSTEM)
    busy = threading.Event()
    thread = threading.Thread(target=lambda: [sum(range(10_000)) for _ in iter(busy.is_set, True)])
    thread.start()
    with open_source("system", rate=20) as source:
        for _ in range(100):  # a machine with more to do takes longer
            pump(source, ring, int, stop, int, 0.5)
            if ring.view()["cpu_percent"].any():
                break
    busy.set()
    thread.join()
    os.close(stop)
    os.close(start)
    assert ring.view()["cpu_percent"].max() > 0


def test_the_sampler_ends_with_its_source():
    pytest.importorskip("psutil")
    fds, threads = len(os.listdir("/dev/fd")), threading.active_count()
    with open_source("system", rate=1000) as source:
        fcntl.fcntl(source.fd, fcntl.F_SETPIPE_SZ, 4096)
        assert threading.active_count() == threads + 1
        time.sleep(0.3)  # nobody reads: it waits for room
    with open_source("system", rate=0.01):
        pass  # nor is it waited for until it is due
    assert threading.active_count() == threads
    assert len(os.listdir("/dev/fd")) == fds
