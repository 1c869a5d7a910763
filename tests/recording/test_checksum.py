"""The checksum of recordings."""
import random

import numpy as np

from spill_ring.recording.checksum import checksum


def test_the_checksum():
    """As its docstring says it is made; and each byte counts."""

    def mixed(state, word):
        state ^= word
        return (state << 29 | state >> 35) % 2**64 * 0x9E3779B97F4A7C15 % 2**64

    def slowly(data):
        padded = data + bytes(-len(data) % 32)
        lanes = [1, 2, 3, 4]
        for at in range(0, len(padded), 8):
            lane = at // 8 % 4
            lanes[lane] = mixed(lanes[lane], int.from_bytes(padded[at : at + 8], "little"))
        state = lanes[0]
        for word in (*lanes[1:], len(data)):
            state = mixed(state, word)
        return state ^ state >> 32

    rng = random.Random(1)
    for size in [*range(100), 1000, 4096, 65537]:
        data = rng.randbytes(size)
        found = checksum(data)
        assert found == checksum(np.frombuffer(data, "u1")) == slowly(data)
        for _ in range(20 if size else 0):
            bad = bytearray(data)
            for _ in range(rng.randint(1, 3)):
                bad[rng.randrange(size)] ^= 1 << rng.randrange(8)
            assert (checksum(bad) == found) == (bad == data)
        assert checksum(data + b"\0") != found
    values = np.arange(64.0)
    assert checksum(values.tobytes()) != checksum(np.where(np.isin(values, [3, 7]), -values, values).tobytes())
