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
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from spill_ring.recording.checksum import checksum

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
_AS_STORED = struct.Struct("<QQQQqQQ")  # the same
MANIFEST, LOCK = "manifest", "lock"
LENGTH = 8  # bytes in front of an encoded object


class DamagedError(ValueError):
    """Something in a recording isn't what was written. What it doesn't name can still be read.

    Attributes
    ----------
    filename : str
        The damaged file.
    why : str
        What is wrong with it.
    first, last : int or None
        Sequence numbers of the items that can't be read for it: ``first <= n < last``.

    Notes
    -----
    **Thread safety.** Like any exception.
    """

    def __init__(self, path: str, why: str, first: int | None = None, last: int | None = None) -> None:
        where = "" if first is None else f" (items {first} to {last})"
        super().__init__(f"{path} is damaged: {why}{where}")
        self.filename, self.why, self.first, self.last = path, why, first, last


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
    except NotADirectoryError as error:
        raise NotADirectoryError(error.errno, "is a file; a recording is a folder", folder) from None
    return _manifest_in(path, data)


@lru_cache(16)  # who follows a recording reads the same one again and again
def _manifest_in(path: str, data: bytes) -> Manifest:
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
        if first > manifest.last:
            segment = Segment(folder, first, manifest.dtype)
            segment.look_at_header()
            if segment.counted_to > first:
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
        self.next_first: int | None = first  # where the next segment begins; `first`: it was not looked at yet
        self.size = 0  # of the file, in bytes
        self.counted_to = first  # the end of the items that its header counts
        self.damage: DamagedError | None = None  # of the file as a whole
        self._forget()

    def _forget(self) -> None:
        """Know nothing of the blocks yet."""
        self.looked_at = 0  # bytes of the index
        self.last_looked_at = b""  # the record at their end
        self.records = np.empty(0, RECORD)  # of the blocks that are there
        self._room = self.records  # for them and for more
        self.is_checked = bytearray()  # for each block 1, if its checksum was found right
        self.reached = self.first  # where the last of them ends
        self.has_gaps = False  # before that
        self.cut_from: int | None = None  # the first item of a block that the index has and the file hasn't
        self.memory = memoryview(b"")

    @property
    def has_holes(self) -> bool:
        """Sealed items are missing."""
        return self.has_gaps or self.reached < self.end

    def refresh(self, end: int | None = None) -> None:
        """Look for new blocks.

        Parameters
        ----------
        end : int, optional
            Where the segment ends, where another one follows: all of it is sealed then.
        """
        self.look_at_header()
        self.next_first = end
        sealed = self.counted_to if end is None else end
        for data in self._new_records():
            record = _AS_STORED.unpack(data)
            is_sound = checksum(data[:-8]) == record[-1] and self._fits(record)
            is_sealed = self.reached < sealed
            if not is_sealed and not (is_sound and self._goes_on(record)):
                break  # torn, or not all of it is there yet: it is looked at again
            self.looked_at += RECORD.itemsize
            self.last_looked_at = bytes(data)
            if is_sound:
                self._keep(record, is_checked=not is_sealed)
        self.end = max(self.reached, sealed)

    def _new_records(self) -> list[memoryview]:
        """Records that were not looked at. All of them, if the last that was is another now.

        Who writes cuts a block back whose sync failed, and only the last one: it goes on when a block is taken.
        """
        size = RECORD.itemsize
        known = len(self.last_looked_at)
        try:
            with open(self.index_path, "rb") as file:
                file.seek(self.looked_at - known)
                data = memoryview(file.read())
        except FileNotFoundError:
            return []
        if data[:known] != self.last_looked_at:
            self._forget()
            return self._new_records()
        return [data[at : at + size] for at in range(known, len(data) - size + 1, size)]

    def _fits(self, record: tuple[int, ...]) -> bool:
        """Is the block where it can be?"""
        first, count, start, size, *_ = record
        if count == 0 or first < self.reached or start < len(self.header):
            return False
        if self.next_first is not None and first + count > self.next_first:
            return False
        if self.dtype is not None and (start, size) != (self._offset(first), count * self.dtype.itemsize):
            return False
        if start + size > self.size:
            self.cut_from = first if self.cut_from is None else self.cut_from
            return False
        return True

    def _goes_on(self, record: tuple[int, ...]) -> bool:
        """Does the block follow those before it, and is all of it there?"""
        first, _, start, length, _, of_block, _ = record
        return first == self.reached and self._is_right(start, length, of_block)

    def _keep(self, record: tuple[int, ...], is_checked: bool) -> None:
        """Add a block. O(1), amortised."""
        first, count, *_ = record
        self.has_gaps = self.has_gaps or first > self.reached
        self.reached = first + count
        self.is_checked.append(is_checked)
        known = len(self.records)
        if known == len(self._room):
            self._room = np.empty(2 * known + 16, RECORD)
            self._room[:known] = self.records
        self._room[known] = record
        self.records = self._room[: known + 1]

    def next(self) -> "Segment | None":
        """The segment that goes on where this one ends, if it was begun."""
        if self.end == self.first or not os.path.exists(paths_of(self.folder, self.end, self.dtype)[0]):
            return None
        segment = Segment(self.folder, self.end, self.dtype)
        segment.refresh()
        return segment if segment.damage is None else None

    def look_at_header(self) -> None:
        """See how large the file is, and how many items its header counts."""
        self.size, self.counted_to, self.damage = 0, self.first, None
        try:
            with open(self.path, "rb") as file:
                count = count_in(file.read(len(self.header)), self.header)
                self.size = os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            self.damage = DamagedError(self.path, "it is missing")
            return
        if count is None:
            self.damage = DamagedError(self.path, "its header is wrong")
        else:
            self.counted_to += count

    def _offset(self, item: int) -> int:
        return len(self.header) + (item - self.first) * self.dtype.itemsize

    def _bytes(self, start: int, end: int) -> memoryview:
        """A part of the file, as far as it is there, mapped: it stays readable when the file is removed."""
        if len(self.memory) < end:
            with suppress(FileNotFoundError), open(self.path, "rb") as file:
                if os.fstat(file.fileno()).st_size > len(self.memory):
                    self.memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return self.memory[start:end]

    def _is_right(self, start: int, size: int, of_block: int) -> bool:
        block = self._bytes(start, start + size)
        return len(block) == size and checksum(block) == of_block

    def blocks(self, first: int, last: int) -> tuple[int, int]:
        """The range of the blocks that hold these items. They are checked, if that was not done yet.

        Raises
        ------
        DamagedError
            Items between the two are damaged.
        """
        firsts = self.records["first"]
        low = max(int(firsts.searchsorted(np.uint64(first), "right")) - 1, 0)
        high = int(firsts.searchsorted(np.uint64(last), "left"))
        if self.has_holes:
            for hole in self.holes():
                if hole.first < last and first < hole.last:
                    raise hole
        i = self.is_checked.find(0, low, high)
        while i >= 0:
            begin, count, start, size, _, of_block, _ = self.records[i].item()
            if not self._is_right(start, size, of_block):
                why = f"the checksum of bytes {start} to {start + size} is wrong"
                raise DamagedError(self.path, why, begin, begin + count)
            self.is_checked[i] = 1
            i = self.is_checked.find(0, i, high)
        return low, high

    def holes(self) -> Iterator[DamagedError]:
        """What is sealed and has no block, each with the file that is to blame."""
        starts = np.append(self.records["first"], np.uint64(self.end)).tolist()
        ends = [self.first, *(self.records["first"] + self.records["count"]).tolist()]
        for begin, end in zip(ends, starts, strict=True):
            middle = min(max(begin, self.counted_to), end)  # behind it a segment is missing
            for first, last in ((begin, middle), (middle, end)):
                if first < last:
                    yield self._hole(first, last)

    def _hole(self, begin: int, end: int) -> DamagedError:
        next_path = paths_of(self.folder, begin, self.dtype)[0]
        if self.damage is not None:
            path, why = self.path, self.damage.why
        elif begin == self.counted_to and not os.path.exists(next_path):
            path, why = next_path, "it is missing"
        elif self.cut_from is not None and self.cut_from < end:
            path, why = self.path, f"it ends after {self.size} bytes"
        elif not os.path.exists(self.index_path):
            path, why = self.index_path, "it is missing"
        else:
            path, why = self.index_path, "there is no record, or no such block,"
        return DamagedError(path, why, begin, end)

    def damages(self) -> Iterator[DamagedError]:
        """Check all of it."""
        if self.has_holes:
            yield from self.holes()
        elif self.damage is not None:
            yield self.damage
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
        first_there = int(self.records["first"][low])
        if len(objects) != int(self.records["first"][high - 1] + self.records["count"][high - 1]) - first_there:
            raise DamagedError(self.path, "its objects are not as many as its records say,", first, last)
        skipped = first - first_there
        return objects[skipped : skipped + last - first]
