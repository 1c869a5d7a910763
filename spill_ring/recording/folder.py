"""The folder of a recording: which segments it has, which of them a writer resumes, and which it removes."""
import os
import sys
import warnings
from contextlib import suppress

from spill_ring.recording.layout import DType, Manifest, first_item_in, header_of, paths_of
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
    while (segment := segments[-1].next()) is not None:
        segments.append(segment)
    _remove_unconnected(folder, [first for first in found if first > segments[-1].first], manifest.dtype, sync)
    return segments


def _remove_unconnected(folder: str, firsts: list[int], dtype: DType, sync: bool) -> None:
    """Remove segments with a gap before them, which a power loss leaves if they were not made durable."""
    lost = 0
    for first in firsts:
        for path in paths_of(folder, first, dtype):
            if os.path.exists(path):
                lost += os.stat(path).st_size
        remove_segment(folder, first, dtype)
    if firsts and sync:
        sync_folder(folder)  # before anything is written that would make them seem to continue the recording
    if lost > len(firsts) * len(header_of(dtype)):
        warnings.warn(
            f"{folder}: cut off {lost} bytes from item {firsts[0]} on, which do not follow what is there",
            RuntimeWarning,
            stacklevel=3,  # whoever sent: there are no compiled frames
        )


def remove_segment(folder: str, first: int, dtype: DType) -> None:
    """Remove the files of a segment, also if one is missing already."""
    for path in reversed(paths_of(folder, first, dtype)):  # the items last: by them `segments_in` finds what is left
        with suppress(FileNotFoundError):
            os.unlink(path)


def remove_segments_before(folder: str, first: int, dtype: DType) -> None:
    """Remove the segments that begin before an item."""
    for begin in segments_in(folder, dtype):
        if begin < first:
            remove_segment(folder, begin, dtype)


def first_to_keep(folder: str, dtype: DType, keep_bytes: int, reserve: int) -> int | None:
    """The first item of the oldest segment to keep, so that all have no more than `keep_bytes`. None: keep all.

    The last segment is counted as `reserve` bytes, to which it may grow.
    """
    found = segments_in(folder, dtype)
    total = reserve
    for kept in range(len(found) - 1, 0, -1):
        total += sum(os.stat(path).st_size for path in paths_of(folder, found[kept - 1], dtype))
        if total > keep_bytes:
            return found[kept]
    return None


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
