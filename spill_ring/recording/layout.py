"""How a recording lies on disk: the names of its files, headers, index entries and the manifest.

A recording is a folder::

    manifest                       what the items are, and the first and the last segment
    00000000000000000000.npy       a segment, named by the sequence number of its first item: a header and items
    00000000000000000000.index     beside it, an INDEX_ENTRY for each block of items in the segment
    lock                           locked by the process that writes

A ring of objects is recorded in ``.log`` files instead: a header, then encoded objects, each with its length in front.

The items of a block are written first, then its index entry, then the count of items in the header. So the items that
the header counts are *sealed*: they must be there, and the segment is damaged where they are not. Items after those are
there as far as index entries and checksums continue without a gap. The rest is *torn*: a block that was never complete.

A segment is begun when the one before it is full. The next sync seals the full segment and names the new one in the
manifest. Until then the new segment belongs to the recording if it begins where the one before it ends. Its header
counts no items before all earlier segments are sealed.
"""
import ast
import io
import json
import os
import re
import struct
import warnings
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from spill_ring.recording.checksum import checksum
from spill_ring.recording.files import DamagedError, open_regular, unreadable

DType: TypeAlias = np.dtype[Any] | None  # of the items; None: encoded objects

INDEX_ENTRY = np.dtype(
    [
        ("first", "<u8"),  # sequence number of the first item in the block
        ("count", "<u8"),  # items
        ("start", "<u8"),  # of the block, in bytes from the start of the file
        ("size", "<u8"),  # in bytes
        ("time", "<i8"),  # when the block was sent, in ns since 1970, never less than in the entry before
        ("checksum", "<u8"),  # of the block
        ("own", "<u8"),  # checksum of all fields above
    ]
)
_ENTRY = struct.Struct("<QQQQqQQ")  # the same
MAX_NUMBER = (1 << 63) - 1  # no item has a greater number
MANIFEST, LOCK = "manifest", "lock"
MANIFEST_BYTES = 1 << 20  # of a manifest, at most: a dtype of some ten thousand fields
VERSION = 1
LENGTH_BYTES = 8  # in front of an encoded object


# -- names -----------------------------------------------------------------------------------------


def paths_of(folder: str, first: int, dtype: DType) -> tuple[str, str]:
    """The paths of a segment's two files: items and index."""
    stem = os.path.join(folder, f"{first:020d}")
    return stem + _suffix(dtype), stem + ".index"


def first_item_in(name: str, dtype: DType) -> int | None:
    """The number of a segment's first item, from the name of its file of items; None for any other name."""
    if not re.fullmatch(r"[0-9]{20}\.\w{3}", name) or not name.endswith(_suffix(dtype)):
        return None
    first = int(name[:20])
    return first if first < MAX_NUMBER else None


def is_recording_file(name: str) -> bool:
    """Is this the name of a file that a recording consists of?"""
    return name in (LOCK, MANIFEST, MANIFEST + ".new") or name[:20].isdigit()


def _suffix(dtype: DType) -> str:
    return ".log" if dtype is None else ".npy"


# -- the header ------------------------------------------------------------------------------------
# The shape comes last, and its length first in the shape. numpy pads a header with as many blanks as the longest
# length needs, so the header of a file that grows can be written again in place.


def header_of(dtype: DType) -> bytes:
    """The header of a segment of no items."""
    if dtype is None:
        return b"spill_ring objects (0,)".ljust(63) + b"\n"
    file = io.BytesIO()
    np.save(file, np.empty(0, dtype))
    return file.getvalue()


def with_count(header: bytes, count: int) -> bytes:
    """The same header, of `count` items."""
    before, _, after = header.rpartition(b"(0,")
    return (before + b"(%d," % count + after.rstrip()).ljust(len(header) - 1) + b"\n"


def count_in(found: bytes, header: bytes) -> int | None:
    """The count in a header that is otherwise equal to `header`; None if it is not."""
    digits = re.match(rb"\d{1,20}", found[header.rindex(b"(0,") + 1 :])
    count = int(digits[0]) if digits else 0
    return count if with_count(header, count) == found else None


# -- the manifest ----------------------------------------------------------------------------------


class Manifest(NamedTuple):
    """What the items of a recording are, and which segments it has."""

    dtype: DType
    encoder: str | None  # the name of the encoder of objects
    first: int  # first item of the first segment
    last: int  # first item of the last segment before which all are sealed


def read_manifest(folder: str) -> Manifest | None:
    """The manifest of a folder; None if it has none.

    Raises
    ------
    DamagedError
        It is not what was written.
    ValueError
        A newer version of spill_ring wrote it.
    """
    path = os.path.join(folder, MANIFEST)
    try:
        fd = open_regular(path)
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise NotADirectoryError(error.errno, "is a file; a recording is a folder", folder) from None
    with open(fd, "rb", buffering=0) as file:
        try:
            data = file.read(MANIFEST_BYTES + 1)
        except OSError as error:
            raise unreadable(path, error) from error
    if len(data) > MANIFEST_BYTES:
        raise DamagedError(path, f"it has more than {MANIFEST_BYTES} bytes")
    return _unpack_manifest(path, data)


@lru_cache(16)  # a reader that follows a recording reads the same manifest again and again
def _unpack_manifest(path: str, data: bytes) -> Manifest:
    body, _, found = data.rpartition(b"\n")
    if found != b"%016x" % checksum(body):
        raise DamagedError(path, "its checksum is wrong")
    try:
        values = json.loads(body)
        version = values.pop("spill_ring")
    except _WRONG_VALUES as error:
        raise DamagedError(path, f"it is no manifest: {error!r}") from error
    if version != VERSION:
        raise ValueError(f"{path}: written by a newer version of spill_ring")
    try:
        return _manifest_of(**values)
    except _WRONG_VALUES as error:
        raise DamagedError(path, f"it has a value that nobody writes: {error!r}") from error


# What Python and numpy raise for values that are not as they should be; parsers raise the last two for deep ones.
_WRONG_VALUES = (
    ValueError, TypeError, LookupError, AttributeError, SyntaxError, OverflowError, Warning,
    RecursionError, MemoryError,
)  # fmt: skip


def _manifest_of(descr: str | None, shape: list[int] | None, encoder: str | None, first: int, last: int) -> Manifest:
    if not all(type(number) is int for number in (first, last)) or not 0 <= first <= last < MAX_NUMBER:
        raise ValueError(f"the numbers {first!r} and {last!r}")
    if descr is None:
        if not isinstance(encoder, str):
            raise TypeError(f"the encoder {encoder!r}")
        return Manifest(None, encoder, first, last)
    if encoder is not None:
        raise TypeError(f"the encoder {encoder!r} of items that aren't objects")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy warns of names that it will not know one day.
        dtype = np.dtype((np.lib.format.descr_to_dtype(ast.literal_eval(descr)), tuple(shape or ())))
    if not dtype.itemsize or not _holds_plain_items(dtype):
        raise TypeError(f"the dtype {descr[:100]}")
    return Manifest(dtype, None, first, last)


def _holds_plain_items(dtype: np.dtype[Any]) -> bool:
    """Are these numbers, times, text and bytes, and not, for example, pointers?"""
    base = dtype.base
    if base.names is None:
        return base.kind in "biufcmMSUV" and not base.hasobject
    return all(_holds_plain_items(base[name]) for name in base.names)


def pack_manifest(manifest: Manifest) -> bytes:
    """The content of the manifest's file."""
    dtype = manifest.dtype
    values = {
        "spill_ring": VERSION,
        "descr": None if dtype is None else repr(np.lib.format.dtype_to_descr(dtype.base)),
        "shape": None if dtype is None else dtype.shape,
        "encoder": manifest.encoder,
        "first": manifest.first,
        "last": manifest.last,
    }
    body = json.dumps(values).encode()
    if len(body) + 17 > MANIFEST_BYTES:
        raise ValueError(
            f"a dtype whose description takes {len(body)} bytes can't be recorded: with all names of its fields it may "
            f"take {MANIFEST_BYTES - 17}"
        )
    return body + b"\n%016x" % checksum(body)


# -- index entries and objects ---------------------------------------------------------------------

Entry: TypeAlias = tuple[int, int, int, int, int, int, int]  # the fields of an INDEX_ENTRY


def pack_index_entry(first: int, count: int, start: int, size: int, time: int, block_checksum: int) -> bytes:
    """An index entry, with its own checksum."""
    entry = struct.pack("<QQQQqQ", first, count, start, size, time, block_checksum)
    return entry + struct.pack("<Q", checksum(entry))


def unpack_index_entry(data: memoryview) -> tuple[Entry, bool]:
    """The fields of an index entry, and whether its own checksum is right."""
    entry: Any = _ENTRY.unpack(data)
    return entry, checksum(data[:-8]) == entry[-1]


def pack_objects(encoded: list[bytes]) -> bytes:
    """Encoded objects as a block."""
    return b"".join(part for data in encoded for part in (len(data).to_bytes(LENGTH_BYTES, "little"), data))
