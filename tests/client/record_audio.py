"""Runs examples/audio.py on portaudio.c, which is loaded before all else; test_audio.py looks at what it prints.

    record_audio.py EXAMPLES CALLBACK PORTAUDIO FRAMES
"""
import ctypes
import json
import sys
import time

import numpy as np

from spill_ring import SpscRing

sys.path.insert(0, sys.argv[1])
import audio

portaudio = ctypes.CDLL(sys.argv[3])
frames = int(sys.argv[4])
counter = {name: ctypes.c_long.in_dll(portaudio, name) for name in ("allocations", "locks", "system_calls")}
dtype = ("f4", (audio.CHANNELS,))
ring = SpscRing(1 << 16, dtype, overflow="reject")
interface = ring.ctypes
ctypes.c_void_p.in_dll(portaudio, "awaited_ring").value = ctypes.addressof(interface)
ctypes.c_ssize_t.in_dll(portaudio, "most_in_ring").value = ring.capacity - audio.BLOCK
ctypes.c_ulong.in_dll(portaudio, "frames_to_come").value = frames

others = np.arange(2, audio.CHANNELS, dtype="f4")
out = np.empty(8192, dtype)
came, wrong = 0, 0
with audio.recording(portaudio, ctypes.CDLL(sys.argv[2]).on_audio, ring) as state:
    while came < frames:
        count = ring.pop_into(out)
        if count == 0:
            time.sleep(0.0005)
            continue
        block = out[:count]
        number = block[:, 0] + 65536.0 * block[:, 1].astype("f8")
        wrong += int((number != np.arange(came, came + count)).sum())
        wrong += int((block[:, 2:] != block[:, :1] + others).any(axis=1).sum())
        came += count
print(json.dumps({
    "came": came, "wrong": wrong, "missed": state.missed, "pushed": ring.stats.pushed,
    **{name: count.value for name, count in counter.items()},
}))
