"""Segments: how a recording lies on disk, for who writes it and for who reads it.

A recording is a folder::

    manifest                       what the items are, and the first and the last segment
    00000000000000000000.npy       a segment, named by the sequence number of its first item: a header and items
    00000000000000000000.index     beside it, a RECORD for each block in it
    lock                           held by the one that writes

Behind a ring of objects a segment is a ``.log``: a header and encoded objects, each with its length in front.

Items come first, then their record, then the count in the header. So what the header counts is *sealed*: it
must be there, and is damaged where it isn't. What lies behind is there as far as records and checksums go on
without a gap; the rest is *torn*: a block that never was complete.

A segment is begun when the one before is full, and that is sealed, and the new one named in the manifest, with the next
sync. Until then the new one is there if it begins where the one before ends. Its header counts items only after all
before it was sealed.
"""
import ast
import errno
import io
import json
import mmap
import os
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from spill_ring.checksum import checksum

RECORD = np.dtype(
    [
        ("first", "<u8"),  # sequence number
        ("count", "<u8"),  # items
        ("start", "<u8"),  # of the block, in bytes from the start of the file
        ("size", "<u8"),  # in bytes
        ("time", "<i8"),  # when it was sent, in ns since 1970, never less than before
        ("checksum", "<u8"),  # of the block
        ("own", "<u8"),  # of all the above
    ]
)
MANIFEST, LOCK = "manifest", "lock"
LENGTH = 8  # bytes in front of an encoded object


class DamagedError(ValueError):
    """Something in a recording isn't what was written. What it doesn't name can still be read.

    Attributes
    ----------
    filename : str
        The damaged file.
    first, last : int or None
        Sequence numbers of the items that can't be read for it: ``first <= n < last``.

    Notes
    -----
    **Thread safety.** Like any exception.
    """

    def __init__(self, path: str, why: str, first: int | None = None, last: int | None = None) -> None:
        where = "" if first is None else f" (items {first} to {last})"
        super().__init__(f"{path} is damaged: {why}{where}")
        self.filename, self.first, self.last = path, first, last


# -- the header ------------------------------------------------------------------------------------
# The shape stands last, with its length first. numpy pads a header with as many blanks as the longest
# length needs, so that a file that grows can have it written again in place.


def header_of(dtype: np.dtype | None) -> bytes:
    """The header of a segment of no items; None: of objects."""
    if dtype is None:
        return b"spill_ring objects (0,)".ljust(63) + b"\n"
    file = io.BytesIO()
    np.save(file, np.empty(0, dtype))
    return file.getvalue()


def with_count(header: bytes, count: int) -> bytes:
    """The same header, of so many items."""
    before, _, after = header.rpartition(b"(0,")
    return (before + b"(%d," % count + after.rstrip()).ljust(len(header) - 1) + b"\n"


def count_in(found: bytes, header: bytes) -> int | None:
    """The count in a header that is otherwise `header`; None: it isn't."""
    digits = re.match(rb"\d{1,20}", found[header.rindex(b"(0,") + 1 :])
    count = int(digits[0]) if digits else 0
    return count if with_count(header, count) == found else None


# -- the manifest ----------------------------------------------------------------------------------


class Manifest(NamedTuple):
    """What the items of a recording are, and which segments it has."""

    dtype: np.dtype | None  # None: objects
    encoder: str | None  # of objects
    first: int  # first item of the first segment
    last: int  # first item of the last segment before which all are sealed


def read_manifest(folder: str) -> Manifest | None:
    """The manifest of a folder; None: it has none."""
    path = os.path.join(folder, MANIFEST)
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 20)
    except FileNotFoundError:
        return None
    body, _, found = data.rpartition(b"\n")
    if found != b"%016x" % checksum(body):
        raise DamagedError(path, "its checksum is wrong")
    values = json.loads(body)
    if values.pop("spill_ring") != 1:
        raise ValueError(f"{path}: written by a newer version of spill_ring")
    shape, descr = values.pop("shape"), values.pop("descr")
    dtype = descr and np.dtype((np.lib.format.descr_to_dtype(ast.literal_eval(descr)), tuple(shape)))
    return Manifest(dtype, **values)


def write_manifest(folder: str, manifest: Manifest, sync: bool) -> None:
    """Replace the manifest as a whole."""
    base = manifest.dtype and manifest.dtype.base
    values = {
        "spill_ring": 1,
        "descr": base and repr(np.lib.format.dtype_to_descr(base)),
        "shape": base and manifest.dtype.shape,
        "encoder": manifest.encoder,
        "first": manifest.first,
        "last": manifest.last,
    }
    body = json.dumps(values).encode()
    path = os.path.join(folder, MANIFEST)
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        write_at(fd, body + b"\n%016x" % checksum(body), 0)
        if sync:
            sync_file(fd)
    finally:
        os.close(fd)
    os.rename(path + ".new", path)
    if sync:
        sync_folder(folder)


# -- files -----------------------------------------------------------------------------------------


def write_at(fd: int, data: Any, offset: int) -> None:
    """Write all of it."""
    view = memoryview(data)
    while len(view):
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def write_again(fd: int, start: int, end: int) -> None:
    """Write what is there once more: after a sync that failed the system takes it for written."""
    while start < end:
        data = os.pread(fd, min(end - start, 1 << 20), start)
        if not data:
            raise OSError(errno.EIO, "what was written before a failed sync is gone")
        write_at(fd, data, start)
        start += len(data)


def sync_file(fd: int) -> None:
    """Make what was written last."""
    if hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:  # macOS, whose fsync leaves it in the drive's own memory
        import fcntl

        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)


def sync_folder(folder: str) -> None:
    """Make what was created, renamed and removed in a folder last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def paths_of(folder: str, first: int, dtype: np.dtype | None) -> tuple[str, str]:
    """The two files of a segment."""
    stem = os.path.join(folder, f"{first:020d}")
    return stem + (".log" if dtype is None else ".npy"), stem + ".index"


def segments_in(folder: str, dtype: np.dtype | None) -> list[int]:
    """The first item of each segment that is there, in order."""
    suffix = ".log" if dtype is None else ".npy"
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    return sorted(int(name[:20]) for name in names if re.fullmatch(r"\d{20}\.\w{3}", name) and name.endswith(suffix))


def remove_segment(folder: str, first: int, dtype: np.dtype | None) -> None:
    """Remove the files of a segment, also when one is gone already."""
    for path in reversed(paths_of(folder, first, dtype)):  # who finds the items finds what is left to remove
        with suppress(FileNotFoundError):
            os.unlink(path)


def record_of(first: int, count: int, start: int, size: int, time: int, of_block: int) -> bytes:
    """A record, with its own checksum."""
    record = struct.pack("<QQQQqQ", first, count, start, size, time, of_block)
    return record + struct.pack("<Q", checksum(record))


def framed(encoded: list[bytes]) -> bytes:
    """Encoded objects as a block."""
    return b"".join(part for data in encoded for part in (len(data).to_bytes(LENGTH, "little"), data))


def unframed(block: memoryview) -> list[memoryview]:
    """The encoded objects in a block that was checked."""
    objects = []
    at = 0
    while at < len(block):
        end = at + LENGTH + int.from_bytes(block[at : at + LENGTH], "little")
        objects.append(block[at + LENGTH : end])
        at = end
    return objects


def last_known(folder: str, manifest: Manifest, found: list[int]) -> int:
    """The last of the segments found before which all are sealed."""
    for first in reversed(found):
        if first > manifest.last and Segment(folder, first, manifest.dtype).look_at_header()[1] > first:
            return first
    return manifest.last


class Segment:
    """A segment, to be read.

    Parameters
    ----------
    folder : str
    first : int
        Sequence number of its first item.
    dtype : dtype or None
    """

    def __init__(self, folder: str, first: int, dtype: np.dtype | None) -> None:
        self.folder = folder
        self.first = self.end = first  # of the items that are there, or should be
        self.dtype = dtype
        self.path, self.index_path = paths_of(folder, first, dtype)
        self.header = header_of(dtype)
        self.looked_at = 0  # bytes of the index
        self.records = np.empty(0, RECORD)  # of the blocks that are there
        self.firsts = np.empty(0, np.uint64)  # the same, for a fast search
        self.is_checked = np.empty(0, bool)  # the blocks whose checksum was found right
        self.has_holes = False  # sealed items are missing
        self.memory = memoryview(b"")
        self.damage: DamagedError | None = None  # of a file as a whole

    def refresh(self, end: int | None = None) -> None:
        """Look for new blocks.

        Parameters
        ----------
        end : int, optional
            Where the segment ends, where another one follows: all of it is sealed then.
        """
        size, sealed = self.look_at_header()
        sealed = sealed if end is None else end
        reached = int(self.firsts[-1] + self.records["count"][-1]) if len(self.records) else self.first
        kept = []
        is_checked = []
        for record, is_valid in self._new_records():
            first, count, start, length, _, of_block, _ = record
            fits = is_valid and count > 0 and first >= reached and len(self.header) <= start <= start + length <= size
            if self.dtype is not None:
                fits = fits and start == self._offset(first) and start + length == self._offset(first + count)
            if end is not None:
                fits = fits and first + count <= end
            if reached >= sealed:  # what follows may be torn
                fits = fits and first == reached
                # Later on it isn't: who writes has finished a block before its record is there.
                if not fits or checksum(self._bytes(start, start + length)) != of_block:
                    break
            self.looked_at += RECORD.itemsize
            if fits:
                self.has_holes = self.has_holes or first > reached
                is_checked.append(reached >= sealed)
                reached = first + count
                kept.append(record)
        self.has_holes = self.has_holes or reached < sealed
        self.end = max(reached, sealed)
        if kept:
            self.records = np.concatenate([self.records, np.array(kept, RECORD)])
            self.firsts = self.records["first"].astype(np.uint64)
            self.is_checked = np.concatenate([self.is_checked, np.array(is_checked, bool)])

    def next(self) -> "Segment | None":
        """The segment that goes on where this one ends, if it was begun."""
        if self.end == self.first or not os.path.exists(paths_of(self.folder, self.end, self.dtype)[0]):
            return None
        segment = Segment(self.folder, self.end, self.dtype)
        segment.refresh()
        return segment if segment.damage is None else None

    def look_at_header(self) -> tuple[int, int]:
        """The size of the file, and the end of the items that its header counts."""
        try:
            with open(self.path, "rb") as file:
                count = count_in(file.read(len(self.header)), self.header)
                size = os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            self.damage = DamagedError(self.path, "it is missing")
            return 0, self.first
        if count is None:
            self.damage = DamagedError(self.path, "its header is wrong")
        return size, self.first + (count or 0)

    def _new_records(self) -> list[tuple[tuple[int, ...], bool]]:
        """Records that were not looked at, and whether their own checksums are right."""
        try:
            with open(self.index_path, "rb") as file:
                file.seek(self.looked_at)
                data = memoryview(file.read())
        except FileNotFoundError:
            data = memoryview(b"")
        size = RECORD.itemsize
        records = np.frombuffer(data, RECORD, len(data) // size).tolist()
        return [
            (record, checksum(data[i * size : (i + 1) * size - 8]) == record[-1]) for i, record in enumerate(records)
        ]

    def _offset(self, item: int) -> int:
        return len(self.header) + (item - self.first) * self.dtype.itemsize

    def _bytes(self, start: int, end: int) -> memoryview:
        """A part of the file that is there, mapped: it stays readable when the file is removed."""
        if len(self.memory) < end:
            with open(self.path, "rb") as file:
                self.memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return self.memory[start:end]

    def blocks(self, first: int, last: int) -> tuple[int, int]:
        """The range of the blocks that hold these items. They are checked, if that was not done yet.

        Raises
        ------
        DamagedError
            Items between the two are damaged.
        """
        low = max(int(self.firsts.searchsorted(np.uint64(first), "right")) - 1, 0)
        high = int(self.firsts.searchsorted(np.uint64(last), "left"))
        if self.has_holes:
            self._refuse_hole(first, last)
        if not self.is_checked[low:high].all():
            for i in low + np.flatnonzero(~self.is_checked[low:high]):
                begin, count, start, size, _, of_block, _ = self.records[i].item()
                if checksum(self._bytes(start, start + size)) != of_block:
                    why = f"the checksum of bytes {start} to {start + size} is wrong"
                    raise DamagedError(self.path, why, begin, begin + count)
                self.is_checked[i] = True
        return low, high

    def holes(self) -> list[tuple[int, int]]:
        """What is sealed and has no record, as ranges of items."""
        ends = [self.first, *(self.records["first"] + self.records["count"]).tolist()]
        return [(end, first) for end, first in zip(ends, [*self.firsts.tolist(), self.end], strict=True) if first > end]

    def _refuse_hole(self, first: int, last: int) -> None:
        for begin, end in self.holes():
            if begin < last and first < end:
                if self.damage is not None and self.damage.filename == self.path:
                    raise DamagedError(self.path, "it is missing, or its header is wrong", begin, end)
                raise DamagedError(self.index_path, "there is no record, or no such block,", begin, end)

    def damages(self) -> Iterator[DamagedError]:
        """Check all of it."""
        if self.damage is not None:
            yield self.damage
        if self.has_holes:
            for begin, end in self.holes():
                yield DamagedError(self.index_path, "there is no record, or no such block,", begin, end)
        for begin, count in self.records[["first", "count"]].tolist():
            try:
                self.blocks(begin, begin + count)
            except DamagedError as error:
                yield error

    def items(self, first: int, last: int) -> np.ndarray:
        """Items in place: read-only, not copied, checked when they are read for the first time."""
        self.blocks(first, last)
        data = self._bytes(self._offset(first), self._offset(last))
        return np.frombuffer(data, self.dtype.base).reshape((last - first, *self.dtype.shape))

    def encoded(self, first: int, last: int) -> list[memoryview]:
        """Encoded objects, checked in the same way."""
        low, high = self.blocks(first, last)
        objects = []
        for _, _, start, size, *_ in self.records[low:high].tolist():
            objects += unframed(self._bytes(start, start + size))
        first_there = int(self.firsts[low])
        if len(objects) != int(self.firsts[high - 1] + self.records["count"][high - 1]) - first_there:
            raise DamagedError(self.path, "its objects are not as many as its records say,", first, last)
        skipped = first - first_there
        return objects[skipped : skipped + last - first]
