"""The folder of a recording: which segments it has, which of them a writer resumes, and which it removes."""
import os
import re
import sys
import warnings
from contextlib import suppress
from typing import BinaryIO

import numpy as np

from spill_ring.recording.files import DamagedError, is_regular, open_regular
from spill_ring.recording.layout import (
    INDEX_ENTRY,
    LENGTH_BYTES,
    MANIFEST,
    DType,
    Manifest,
    first_item_in,
    header_of,
    paths_of,
    unpack_index_entry,
)
from spill_ring.recording.segment import Segment


def segments_in(folder: str, dtype: DType) -> list[int]:
    """The first item of each segment that is there, in order."""
    with os.scandir(folder) as entries:
        found = [first_item_in(entry.name, dtype) for entry in entries]
    return sorted(first for first in found if first is not None)


def last_sealed(folder: str, manifest: Manifest, found: list[int]) -> int:
    """The first item of the last segment before which all are sealed.

    The manifest may be older than this: a segment that counts items is newer, since all before it were sealed first.
    """
    for first in reversed(found):
        if first > manifest.last:
            segment = Segment(folder, first, manifest.dtype)
            segment.read_header()
            if segment.counted_to > first:
                return first
    return manifest.last


def segments_to_resume(folder: str, manifest: Manifest, sync: bool) -> list[Segment]:
    """The segments that may not be sealed, in order. Removes those that were begun after a gap.

    Warns
    -----
    RuntimeWarning
        Items are lost with the segments that are removed.
    """
    found = segments_in(folder, manifest.dtype)
    segments = [Segment(folder, last_sealed(folder, manifest, found), manifest.dtype)]
    segments[0].refresh()
    later = [first for first in found if first > segments[0].first]
    if later and has_lost_a_file(segments[0]):
        # The manifest named it, so its files were there, also after a power loss, and the next one was begun behind it.
        segments[0].refresh(later[0])
    while (segment := segments[-1].next()) is not None:
        segments.append(segment)
    _remove_unconnected(folder, [first for first in found if first > segments[-1].first], manifest.dtype, sync)
    return segments


def _remove_unconnected(folder: str, firsts: list[int], dtype: DType, sync: bool) -> None:
    """Remove segments with a gap before them, which a power loss leaves if they were not made durable."""
    lost = 0
    for first in firsts:
        lost += _size_of(folder, first, dtype)
        remove_segment(folder, first, dtype)
    if firsts and sync:
        sync_folder(folder)  # before anything is written that would make them seem to continue the recording
    if lost > len(firsts) * len(header_of(dtype)):
        warnings.warn(
            f"{folder}: cut off {lost} bytes from item {firsts[0]} on, which do not follow what is there",
            RuntimeWarning,
            stacklevel=3,  # whoever sent: there are no compiled frames
        )


def _size_of(folder: str, first: int, dtype: DType) -> int:
    """The bytes in the files of a segment, as far as they are there."""
    size = 0
    for path in paths_of(folder, first, dtype):
        with suppress(FileNotFoundError):
            size += os.lstat(path).st_size
    return size


def remove_segment(folder: str, first: int, dtype: DType) -> None:
    """Remove the files of a segment, also if one is missing already."""
    for path in reversed(paths_of(folder, first, dtype)):  # the items last: by them `segments_in` finds what is left
        remove(path)


def remove(path: str) -> None:
    """Remove a file, if there is one."""
    with suppress(FileNotFoundError, IsADirectoryError):  # A folder of such a name is none of the recording's.
        os.unlink(path)


def remove_segments_before(folder: str, first: int, dtype: DType) -> None:
    """Remove the segments that begin before an item, and an index whose items are lost."""
    for begin in sorted({int(name[:20]) for name in os.listdir(folder) if _is_segment_file(name)}):
        if begin < first:
            remove_segment(folder, begin, dtype)


def _is_segment_file(name: str) -> bool:
    return re.fullmatch(r"\d{20}\.(npy|log|index)", name) is not None


def first_to_keep(folder: str, dtype: DType, keep_bytes: int, reserve: int) -> int | None:
    """The first item of the oldest segment to keep, so that all have no more than `keep_bytes`. None: keep all.

    The last segment is counted as `reserve` bytes, to which it may grow.
    """
    found = segments_in(folder, dtype)
    total = reserve
    for kept in range(len(found) - 1, 0, -1):
        total += _size_of(folder, found[kept - 1], dtype)
        if total > keep_bytes:
            return found[kept]
    return None


# -- what a first use left behind, and what was lost -------------------------------------------------


def holds_items(folder: str) -> bool:
    """Was an item ever recorded here, of any kind, as far as the files of the segments say?

    Raises
    ------
    DamagedError
        One of them can't be read, or is no file, so nobody knows.
    """
    names = [name for name in os.listdir(folder) if _is_segment_file(name)]
    for name in names:
        with os.fdopen(open_regular(os.path.join(folder, name), os.O_RDONLY), "rb") as file:
            if name.endswith(".index"):
                count, has_more = os.fstat(file.fileno()).st_size // INDEX_ENTRY.itemsize, False
            else:
                count, has_more = _count_and_more(file, name.endswith(".npy"))
        if count or (has_more and name[:20] + ".index" not in names):  # With an index, that is a torn block.
            return True
    return False


def _count_and_more(file: BinaryIO, is_npy: bool) -> tuple[int, bool]:
    """How many items the header of a segment counts, of any kind; and whether there is more behind the header."""
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        return 0, False
    if not is_npy:
        found = re.search(rb"\((\d+),\)", file.read(64))
        return (int(found[1]), size > 64) if found else (1, True)
    try:
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            np.lib.format.read_magic(file), np.lib.format.read_array_header_2_0
        )
        shape = read(file, max_header_size=size)[0]
    except (ValueError, TypeError):
        return 1, True  # Nobody knows.
    return int(shape[0]) if shape else 1, size > file.tell()


def remove_segments(folder: str) -> None:
    """Remove all segments, of any kind."""
    for name in os.listdir(folder):
        if _is_segment_file(name):
            remove(os.path.join(folder, name))


def restored_manifest(folder: str, dtype: DType) -> Manifest:
    """The manifest of a recording of such items that has lost it.

    Raises
    ------
    DamagedError
        The segments hold other items, or objects: by which encoder only the manifest said.

    Warns
    -----
    RuntimeWarning
    """
    path = os.path.join(folder, MANIFEST)
    found = segments_in(folder, dtype)
    if dtype is None:
        raise DamagedError(path, "it is missing, and nothing else says by which encoder the objects were recorded")
    for first in found:
        segment = Segment(folder, first, dtype)
        segment.read_header()
        if segment.damage is None:
            break
    else:
        raise DamagedError(path, f"it is missing, and no segment holds items of {dtype!r}")
    warnings.warn(f"{path} is missing: it was written again", RuntimeWarning, stacklevel=3)
    return Manifest(dtype, None, found[0], found[0])


def has_lost_a_file(segment: Segment) -> bool:
    """One of its files is missing, or is none, or has another header. (A crash leaves both, if with a torn block.)"""
    if segment.damage is not None:
        return True
    return not is_regular(segment.index_path) and segment.size > len(segment.header)


def end_of_damaged(segment: Segment) -> int:
    """Behind every item that a damaged segment may have held: no number may be used twice."""
    end = max(segment.end, segment.first + 1)
    if is_regular(segment.index_path):
        with os.fdopen(open_regular(segment.index_path, os.O_RDONLY), "rb") as file:
            data = memoryview(file.read())
        for at in range(0, len(data) - INDEX_ENTRY.itemsize + 1, INDEX_ENTRY.itemsize):
            (first, count, *_), is_intact = unpack_index_entry(data[at : at + INDEX_ENTRY.itemsize])
            if is_intact and first >= segment.first:
                end = max(end, first + count)
    elif is_regular(segment.path):
        end = max(end, segment.first + _count_without_index(segment))
    return end


def _count_without_index(segment: Segment) -> int:
    """How many items the file may hold, by its size."""
    with os.fdopen(open_regular(segment.path, os.O_RDONLY), "rb") as file:
        at, size = len(segment.header), os.fstat(file.fileno()).st_size
        if segment.dtype is not None:
            return (size - at) // int(segment.dtype.itemsize)
        count = 0
        while at + LENGTH_BYTES <= size:
            file.seek(at)
            at += LENGTH_BYTES + int.from_bytes(file.read(LENGTH_BYTES), "little")
            count += at <= size
    return count


def sync_folder(folder: str) -> None:
    """Make durable what was created, renamed and removed in a folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(fd: int) -> None:
    """Make durable what was written to a file."""
    if sys.platform == "darwin":  # where fsync leaves the data in the drive's own memory
        import fcntl

        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(fd)
