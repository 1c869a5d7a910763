"""Reads recordings that somebody changed: argv are a folder, the kind of items, how many inputs, the first seed.

Each input is read in every way. Whatever is not what was written gives a DamagedError, in bounded memory and time.
"""
import faulthandler
import json
import os
import random
import resource
import shutil
import socket
import struct
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from spill_ring import ArrayRing, DamagedError, DiskSink, ObjectRing, SpillLog
from spill_ring.recording.checksum import checksum
from spill_ring.recording.layout import header_of, pack_index_entry, with_count

folder, kind, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
begin = int(sys.argv[4]) if len(sys.argv) > 4 else 0
GOOD, BAD = os.path.join(folder, "good"), os.path.join(folder, "bad")
DTYPES = {"typed": np.dtype([("a", "<i2"), ("b", "<f8", (2,))]), "text": np.dtype([("name", "<U3"), ("n", "u1")])}
NUMBERS = [0, 1, 7, 8, 50, 64, 128, 1000, 2**20, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
DESCRS = [
    "'|O'", "'O8'", "'T'", "'V0'", "'U'", "'<f8'", "'10000000f8'", "[]", "{}", "None", "()", "''", "[('a',)]", "1",
    "[('a', '|O')]", "[('', '<i4'), ('', '<i4')]", "('<f8', (1000000000,))", "('<f8', (-1,))", "'M8[as]'", "'m8'",
    "[('a', [('b', '<U1000000000')])]", "(" * 5000 + ")" * 5000, "[" * 90 + "]" * 90, "'i4,' * 100", "__import__('os')",
    repr([(f"f{i}", "<f8") for i in range(9000)]), "'" + "i1," * 9000 + "i1'", "[(('t', 'n'), '<f8')]", "'\ud800'",
]  # fmt: skip
SHAPES = [[], [0], [1], [2], [-1], [10**9], [2**70], [1] * 70, None, "ab", {}, [[]], [1.5], [None]]


def write_good():
    if kind == "objects":
        with ObjectRing(1, DiskSink(GOOD, segment_bytes=150)) as ring:
            ring.extend(["a", b"bc", "", "é" * 9, b"x" * 40, *map(str, range(20))])
    else:
        dtype = DTYPES[kind]
        with ArrayRing(1, dtype, DiskSink(GOOD, segment_bytes=500)) as ring:
            for _ in range(40):
                ring.extend(np.ones(rng.randint(1, 3), dtype))


def signed(body):
    return body + b"\n%016x" % checksum(body)


def manifest(rng):
    values = json.loads(Path(GOOD, "manifest").read_bytes().rpartition(b"\n")[0])
    for _ in range(rng.randint(1, 2)):
        name = rng.choice([*values, "more"])
        choices = {"descr": DESCRS, "shape": SHAPES}.get(name, [*NUMBERS, -1, None, 1.5, True, "plain", [], {}])
        values[name] = rng.choice(choices)
    if rng.random() < 0.1:
        values.pop(rng.choice([*values]))
    text = rng.choice([json.dumps(values), "[" * 20_000, "1" * 9000, "[]", "{}", '"' + "x" * 70, "{" * 9])
    if rng.random() < 0.8:
        text = json.dumps(values)
    return signed(text.encode("utf-8", "replace"))


def change(rng, path):
    """Change one file, or what lies in its place."""
    how = rng.choice(["bytes", "bytes", "bytes", "kind", "long", "forge", "forge", "forge", "name"])
    if os.path.lexists(path) and (os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) > 10**6):
        return
    data = bytearray(Path(path).read_bytes()) if os.path.exists(path) else bytearray()
    if how == "bytes":
        at = rng.randint(0, len(data))
        new = rng.choice([rng.randbytes(rng.randint(1, 60)), b"\xff" * 16, bytes(8), b""])
        data[at : at + rng.choice([0, 1, len(new), 100])] = new
    elif how == "kind":
        if os.path.exists(path):
            os.unlink(path)
        make = rng.choice(["fifo", "folder", "socket", "link", "nothing", "device"])
        if make == "fifo":
            os.mkfifo(path)
        elif make == "folder":
            os.mkdir(path)
        elif make == "socket":
            os.chdir(BAD)
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(os.path.basename(path))
        elif make != "nothing":
            os.symlink("/dev/zero" if make == "device" else f"{GOOD}/lock", path)
        return
    elif how == "name":
        name = rng.choice(["9" * 20, f"{2**63:020d}", f"{2**63 - 2:020d}", f"{rng.choice(NUMBERS):020d}", "٣" * 20])
        suffix = os.path.splitext(path)[1]
        if suffix and not os.path.lexists(f"{BAD}/{name}{suffix}"):
            os.rename(path, f"{BAD}/{name}{suffix}")
        return
    elif how == "forge":
        if path.endswith("manifest"):
            data = manifest(rng)
        elif path.endswith(".index"):
            data = forged_index(rng, path, data)
        elif not path.endswith("lock"):
            data = forged_items(rng, data)
    with open(path, "wb") as file:
        file.write(data)
    if how == "long":
        os.truncate(path, rng.choice([100_000, 2**24, 2**26]))


def forged_items(rng, data):
    header = header_of(DTYPES.get(kind))
    if rng.random() < 0.5:
        return with_count(header, rng.choice(NUMBERS)) + data[len(header) :]
    return data[: len(header)] + rng.choice([bytes(500), b"\xff" * 500, struct.pack("<Q", rng.choice(NUMBERS)) * 60])


def forged_index(rng, path, data):
    """Entries whose checksums are right, also that of the block."""
    try:
        os.truncate(Path(path).with_suffix(".log" if kind == "objects" else ".npy"), 2000)
        items = Path(path).with_suffix(".log" if kind == "objects" else ".npy").read_bytes()[:10_000]
    except OSError:
        items = b""
    new = bytearray()
    for at in range(0, len(data) - 55, 56):
        fields = list(struct.unpack("<QQQQqQ", data[at : at + 48]))
        for _ in range(rng.randint(0, 2)):
            i = rng.randrange(5)
            number = rng.choice([*NUMBERS, fields[i] + 1, fields[i] - 1])
            fields[i] = max(min(number, 2**63 - 1 if i == 4 else 2**64 - 1), 0)
        fields[5] = checksum(bytes(items[fields[2] : fields[2] + fields[3]]))
        new += pack_index_entry(*fields)
    return new


def read():
    """Read all in all ways."""
    log = SpillLog(BAD, copy=rng.choice([None, True]))
    ways = [
        lambda: log.verify(),
        lambda: log[:],
        lambda: log[log.first],
        lambda: log[-1],
        lambda: [log[n] for n in range(log.first, min(log.end, log.first + 50))],
        lambda: list(zip(log.blocks(7), range(30), strict=False)),
        lambda: log.by_time(0, time.time()),
        lambda: log.times(),
        lambda: log.refresh(),
        lambda: next(log.follow(log.first, timeout=0), None),
        lambda: (len(log), repr(log)),
    ]
    rng.shuffle(ways)
    for way in ways:
        try:
            str(way())
        except (DamagedError, IndexError, FileNotFoundError):
            pass


warnings.simplefilter("error")
rng = random.Random(0)
write_good()
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), -1))
damaged, slowest = 0, 0.0
for seed in range(begin, begin + count):
    rng = random.Random(seed)
    shutil.rmtree(BAD, ignore_errors=True)
    shutil.copytree(GOOD, BAD)
    for name in rng.sample(sorted(os.listdir(BAD)), rng.randint(1, 3)):
        change(rng, os.path.join(BAD, name))
    faulthandler.dump_traceback_later(60, exit=True)
    start = time.monotonic()
    try:
        read()
    except (DamagedError, FileNotFoundError):
        damaged += 1
    except ValueError as error:
        assert "newer version" in str(error) or "were recorded by" in str(error), seed
    except BaseException:
        print("seed", seed, file=sys.stderr)
        raise
    slowest = max(slowest, time.monotonic() - start)
print(f"{count} inputs of {kind}: {damaged} not opened; the slowest took {slowest:.1f} s")
