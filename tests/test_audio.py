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
from compilers import CLIENT, shared_library

from spill_ring import SpillLog

EXAMPLES = Path(__file__).parent.parent / "examples"
MINUTES = 10
FRAMES = MINUTES * 60 * 48_000  # a multiple of a block

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="portaudio.c takes the place of glibc's functions")


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    return shared_library(EXAMPLES / "audio_callback.c", folder), shared_library(CLIENT / "portaudio.c", folder)


def record(libraries, frames, what):
    """What record_audio.py found."""
    callback, portaudio = libraries
    done = subprocess.run(
        [sys.executable, "-P", CLIENT / "record_audio.py", EXAMPLES, callback, portaudio, str(frames), what],
        capture_output=True, text=True, env=os.environ | {"LD_PRELOAD": str(portaudio)}, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_ten_minutes_of_sound(libraries):
    """28.8 million frames: none is missed or wrong, and no callback allocated, locked or made a system call."""
    assert record(libraries, FRAMES, "counted") == {
        "came": FRAMES, "wrong": 0, "missed": 0, "pushed": FRAMES, "allocations": 0, "locks": 0, "system_calls": 0,
    }  # fmt: skip


def test_what_is_counted_is_seen(libraries):
    """A callback that evicts to Python allocates and locks."""
    found = record(libraries, 48_000, "python")
    assert found["pushed"] >= 48_000 and found["missed"] == 0
    assert found["allocations"] > 100 and found["locks"] > 100


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
