"""Record sound without a gap: PortAudio's callback pushes into a ring, in C; this thread takes out when it gets to it.

    python examples/audio.py FOLDER

records the default input until Ctrl-C, and `spill-ring show FOLDER` tells what is there. Needs PortAudio's library
and a C compiler.
"""
import ctypes
import ctypes.util
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from spill_ring import DiskSink, SpscRing, get_include

RATE, CHANNELS, BLOCK = 48_000, 8, 256
FLOAT32 = 1  # paFloat32


class Recording(ctypes.Structure):
    """What the callback gets: `recording` in audio_callback.c."""

    _fields_ = (("ring", ctypes.c_void_p), ("missed", ctypes.c_ulong))


def compiled_callback(folder):
    """`on_audio`, compiled into a folder."""
    source, library = Path(__file__).with_name("audio_callback.c"), Path(folder, "audio_callback.so")
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-O2", "-shared", "-fPIC", f"-I{get_include()}", source, "-o", library], check=True)
    return ctypes.CDLL(str(library)).on_audio


@contextmanager
def recording(portaudio, callback, ring):
    """While the stream runs: what the callback counts."""
    def call(name, *arguments):
        error = getattr(portaudio, name)(*arguments)
        if error < 0:
            portaudio.Pa_GetErrorText.restype = ctypes.c_char_p
            raise OSError(f"{name}: {portaudio.Pa_GetErrorText(error).decode()}")

    interface = ring.ctypes  # keeps the ring, and itself, as long as the callback may come
    state = Recording(ctypes.addressof(interface), 0)
    stream = ctypes.c_void_p()
    call("Pa_Initialize")
    try:
        call("Pa_OpenDefaultStream", ctypes.byref(stream), CHANNELS, 0, ctypes.c_ulong(FLOAT32), ctypes.c_double(RATE),
             ctypes.c_ulong(BLOCK), callback, ctypes.byref(state))  # fmt: skip
        call("Pa_StartStream", stream)
        try:
            yield state
        finally:
            call("Pa_StopStream", stream)  # the callback comes no more
            call("Pa_CloseStream", stream)
    finally:
        call("Pa_Terminate")


def main(folder):
    portaudio = ctypes.CDLL(ctypes.util.find_library("portaudio") or sys.exit("no PortAudio on this machine"))
    ring = SpscRing(4 * RATE, ("f4", (CHANNELS,)), overflow="reject")  # four seconds to be late in
    with tempfile.TemporaryDirectory() as built, DiskSink(folder) as sink:
        try:
            with recording(portaudio, compiled_callback(built), ring) as state:
                while True:
                    # A consumer that waits would have the callback wake it, by a system call; this one looks.
                    ring.drain(sink)
                    time.sleep(0.02)
        except KeyboardInterrupt:
            ring.drain(sink)
        print(f"{ring.stats.popped + ring.stats.spilled} frames, {state.missed} missed")


if __name__ == "__main__":
    main(*sys.argv[1:] or sys.exit(__doc__))
