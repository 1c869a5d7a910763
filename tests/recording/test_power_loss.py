"""Power loss: all that was synced is there, and never a wrong value."""
import contextlib
import errno
import os
import random
import shutil
import threading

import pytest

from helpers.recordings import check_resumed, numbers, read_all, record_numbers
from spill_ring import DiskSink, ObjectRing, SpillLog

pytestmark = pytest.mark.not_sanitized


class Disk:
    """A layer over os: what is written and synced in a folder, and all that a power loss can leave of it.

    Of what was not synced any part may be there: each write, length and name is, or isn't, or in part, by sectors.
    """

    SECTOR = 64  # smaller than any real one: worse

    def __init__(self, monkeypatch, root, short_writes=None, failing=None):
        self.root, self.ops, self.short_writes, self.failing = str(root), [], short_writes, failing
        self.lock = threading.RLock()  # what was done comes into the log in the order in which it was done
        self.calls = {name: getattr(os, name) for name in
                      ("open", "pwrite", "fdatasync", "fsync", "rename", "unlink", "ftruncate", "mkdir")}
        for name in self.calls:
            monkeypatch.setattr(os, name, self.locked(getattr(self, name)))

    def locked(self, call):
        def locked(*args, **kwargs):
            with self.lock:
                return call(*args, **kwargs)

        return locked

    def log(self, *op):
        if str(op[1]).startswith(self.root):
            self.ops.append(op)

    def path(self, fd):
        return os.readlink(f"/proc/self/fd/{fd}")

    def open(self, path, flags, *args, **kwargs):
        is_new = flags & os.O_CREAT and not os.path.exists(path)
        fd = self.calls["open"](path, flags, *args, **kwargs)
        if is_new:
            self.log("create", path)
        elif flags & os.O_TRUNC:
            self.log("truncate", path, 0)
        return fd

    def pwrite(self, fd, data, offset):
        if self.short_writes is not None and len(data) > 1:
            data = data[: self.short_writes.randint(1, len(data))]
        written = self.calls["pwrite"](fd, data, offset)
        self.log("write", self.path(fd), bytes(data), offset)
        return written

    def ftruncate(self, fd, length):
        self.calls["ftruncate"](fd, length)
        self.log("truncate", self.path(fd), length)

    def fdatasync(self, fd):
        self.calls["fdatasync"](fd)
        if self.failing is not None and self.failing.random() < 0.2:
            self.log("failed sync", self.path(fd))
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.log("sync", self.path(fd))

    def fsync(self, fd):
        self.calls["fsync"](fd)
        self.log("sync folder", self.path(fd))

    def rename(self, old, new):
        self.calls["rename"](old, new)
        self.log("rename", old, new)

    def unlink(self, path):
        self.calls["unlink"](path)
        self.log("unlink", path)

    def mkdir(self, path):
        self.calls["mkdir"](path)

    def after_power_loss(self, count, rng, folder):
        """Build in `folder` one state that may be there after the first `count` operations."""
        contents = {}  # a file, whatever its name is now: [bytes that last, operations that may or may not]
        names, pending_names = {}, []  # that last; and those that may or may not, in order
        now = {}  # name -> file, as programs see it
        for op, path, *args in self.ops[:count]:
            if op == "create":
                now[path] = key = object()
                contents[key] = [bytearray(), []]
                pending_names.append((path, key))
            elif op in ("write", "truncate"):
                contents[now[path]][1].append((op, *args))
            elif op == "sync":
                kept, pending = contents[now[path]]
                for change in pending:
                    self.apply(kept, change)
                pending.clear()
            elif op == "failed sync":  # the system takes for written what may be or not, and never tries again
                kept, pending = contents[now[path]]
                for change in pending:
                    if rng.random() < 0.5:
                        self.apply(kept, change)
                pending.clear()
            elif op == "rename":
                now[args[0]] = now.pop(path)
                pending_names.append((args[0], now[args[0]]))
                pending_names.append((path, None))
            elif op == "unlink":
                now.pop(path)
                pending_names.append((path, None))
            elif op == "sync folder":
                names = dict(now)
                pending_names.clear()
        names = dict(names)
        for name, key in pending_names[: rng.randint(0, len(pending_names))]:  # a journal keeps their order
            names[name] = key
        os.makedirs(folder, exist_ok=True)
        for name, key in names.items():
            if key is None:
                continue
            kept, pending = contents[key]
            data = bytearray(kept)
            for change in rng.sample(pending, rng.randint(0, len(pending))):  # in any order
                if change[0] == "write" and rng.random() < 0.3:
                    self.write_sectors(data, change, rng)
                else:
                    self.apply(data, change)
            with open(os.path.join(folder, os.path.basename(name)), "wb") as file:
                file.write(data)

    @staticmethod
    def apply(data, change):
        if change[0] == "truncate":
            del data[change[1] :]
            data.extend(bytes(change[1] - len(data)))
        else:
            _, new, offset = change
            data.extend(bytes(max(0, offset - len(data))))
            data[offset : offset + len(new)] = new

    def write_sectors(self, data, change, rng):
        _, new, offset = change
        at = 0
        while at < len(new):
            size = self.SECTOR - (offset + at) % self.SECTOR
            if len(new) <= 128 and offset == 0:
                size = len(new)  # a header lies in one real sector
            if rng.random() < 0.5:
                self.apply(data, ("write", new[at : at + size], offset + at))
            at += size


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["typed", "objects"])
@pytest.mark.parametrize("sync", ["interval", "always"])
def test_power_loss(tmp_path, monkeypatch, kind, sync):
    encode = int if kind == "typed" else str
    with monkeypatch.context() as patch:
        disk = Disk(patch, tmp_path / "log")
        synced = []  # items that were synced by then, for each count of operations
        with DiskSink(tmp_path / "log", segment_bytes=400, sync=sync, interval=3600) as sink:
            if kind == "typed":
                sink.send(numbers(0))
            for n in range(0, 120, 8):
                if kind == "typed":
                    sink.send(numbers(n, n + 8))
                else:
                    for m in range(n, n + 8):
                        sink.send(str(m))
                if sync == "interval" and n % 24 == 0:
                    sink.flush()
                if sync == "always" or n % 24 == 0:
                    synced += [synced[-1] if synced else 0] * (len(disk.ops) - len(synced)) + [n + 8]
        synced += [synced[-1]] * (len(disk.ops) - len(synced)) + [120]
    rng = random.Random(7)
    torn = 0
    for i in range(150):
        folder = str(tmp_path / f"after{i}")
        count = rng.randint(0, len(disk.ops))
        disk.after_power_loss(count, rng, folder)
        torn += check_resumed(folder, synced[count], encode)
        shutil.rmtree(folder)
    assert torn > 7


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["interval", "always"])
def test_power_loss_after_syncs_that_failed(tmp_path, monkeypatch, sync):
    with monkeypatch.context() as patch:
        disk = Disk(patch, tmp_path / "log", failing=random.Random(2))
        synced = []
        errors = 0
        for _ in range(100):
            with contextlib.suppress(OSError):
                sink = DiskSink(tmp_path / "log", segment_bytes=400, sync=sync, interval=3600)
                sink.send(numbers(0))
                break
            sink.close()
        while sink.count < 120:
            try:
                sink.send(numbers(sink.count, min(sink.count + 8, 120)))
                if sink.count % 24 == 0 or sink.count == 120:
                    sink.flush()
                    synced += [synced[-1] if synced else 0] * (len(disk.ops) - len(synced)) + [sink.count]
            except OSError:
                errors += 1
            assert SpillLog(tmp_path / "log").end == sink.count  # not a block that was refused
        while not sink.closed:
            with contextlib.suppress(OSError):
                sink.close()
        synced += [synced[-1]] * (len(disk.ops) - len(synced)) + [120]
    assert errors > 2
    rng = random.Random(8)
    for i in range(200):
        folder = str(tmp_path / f"after{i}")
        count = rng.randint(0, len(disk.ops))
        disk.after_power_loss(count, rng, folder)
        check_resumed(folder, synced[count])
        shutil.rmtree(folder)


def test_short_writes(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        Disk(patch, tmp_path, random.Random(3))
        record_numbers(tmp_path / "log", 500, segment_bytes=700)
        with ObjectRing(2, DiskSink(tmp_path / "objects", segment_bytes=100)) as ring:
            ring.extend(map(str, range(100)))
    assert (read_all(tmp_path / "log") == numbers(500)).all()
    assert read_all(tmp_path / "objects") == list(map(str, range(100)))
