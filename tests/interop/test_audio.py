"""A stream whose callback has a deadline: examples/audio.py, on a PortAudio without a sound card that counts what a
callback must not do."""
import ctypes
import ctypes.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.compilers import CLIENT, shared_library
from spill_ring import SpillLog

EXAMPLES = Path(__file__).parents[2] / "examples"
MINUTES = 10
FRAMES = MINUTES * 60 * 48_000  # a multiple of a block

pytestmark = [
    pytest.mark.not_sanitized,
    pytest.mark.skipif(sys.platform != "linux", reason="portaudio.c takes the place of glibc's functions"),
    pytest.mark.compiler,
]


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    return shared_library(EXAMPLES / "audio_callback.c", folder), shared_library(CLIENT / "portaudio.c", folder)


def record(callback, portaudio, frames):
    """What record_audio.py found."""
    done = subprocess.run(
        [sys.executable, "-P", CLIENT / "record_audio.py", EXAMPLES, callback, portaudio, str(frames)],
        capture_output=True, text=True, env=os.environ | {"LD_PRELOAD": str(portaudio)}, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_ten_minutes_of_sound(libraries):
    """28.8 million frames: none is missed or wrong, and no callback allocated, locked or made a system call."""
    assert record(*libraries, FRAMES) == {
        "came": FRAMES, "wrong": 0, "missed": 0, "pushed": FRAMES, "allocations": 0, "locks": 0, "system_calls": 0,
    }  # fmt: skip


@pytest.mark.slow
def test_what_is_counted(libraries, tmp_path):
    careless = shared_library(CLIENT / "careless_callback.c", tmp_path, f"-I{EXAMPLES}")
    found = record(careless, libraries[1], 1000 * 256)
    assert found["came"] == 256_000 and found["wrong"] == 0
    assert (found["allocations"], found["locks"], found["system_calls"]) == (2000, 1000, 1000)  # one is free()


@pytest.fixture
def example(libraries, monkeypatch):
    """examples/audio.py, in this process; its PortAudio is the test's, without counting."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(ctypes.util, "find_library", {"portaudio": str(libraries[1])}.get)
    import audio

    yield audio
    del sys.modules["audio"]


@pytest.mark.thread_unsafe(reason="one PortAudio")
def test_the_example(example, libraries, monkeypatch, tmp_path, capsys):
    def interrupt(seconds):
        raise KeyboardInterrupt

    ctypes.c_ulong.in_dll(ctypes.CDLL(str(libraries[1])), "frames_to_come").value = 100 * 256
    monkeypatch.setattr(example.time, "sleep", interrupt)
    example.main(tmp_path)
    assert capsys.readouterr().out == "25600 frames, 0 missed\n"
    frames = SpillLog(tmp_path)[:]
    assert frames.shape == (25600, 8) and (frames[:, 0] == np.arange(25600)).all()


@pytest.mark.thread_unsafe(reason="one PortAudio")
def test_an_error_of_portaudio(example, monkeypatch, tmp_path):
    monkeypatch.setattr(example, "CHANNELS", 2)
    with pytest.raises(OSError, match="Pa_OpenDefaultStream: no such device"):
        example.main(tmp_path)
