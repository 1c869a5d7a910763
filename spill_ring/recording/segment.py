"""`Segment`: reads one segment of a recording, also while it is being written."""
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spill_ring.recording.checksum import checksum
from spill_ring.recording.files import DamagedError
from spill_ring.recording.layout import (
    INDEX_ENTRY,
    DType,
    Entry,
    count_in,
    header_of,
    paths_of,
    unpack_index_entry,
    unpack_objects,
)


class Segment:
    """A segment, to be read.

    Parameters
    ----------
    folder : str
    first : int
        Sequence number of its first item.
    dtype : dtype or None
    """

    def __init__(self, folder: str, first: int, dtype: DType) -> None:
        self.folder = folder
        self.first = self.end = first  # of the items that are there, or should be
        self.dtype: Any = dtype  # Any: what is asked only of typed items need not be asked again
        self.path, self.index_path = paths_of(folder, first, dtype)
        self.header = header_of(dtype)
        self.next_first: int | None = first  # where the next segment begins; `first` before the first `refresh`
        self.size = 0  # of the file, in bytes
        self.counted_to = first  # the end of the items that the header counts
        self.damage: DamagedError | None = None  # of the file as a whole
        self._forget_blocks()

    def _forget_blocks(self) -> None:
        self.index_offset = 0  # bytes of the index that were read
        self.last_entry = b""  # the index entry that ends there
        self.entries: NDArray[np.void] = np.empty(0, INDEX_ENTRY)  # of the blocks that are there
        self._allocated = self.entries  # memory of `entries`, and for more of them
        self.is_checked = bytearray()  # for each block: 1 if its checksum was found right
        self.reached = self.first  # the end of the items that have a block
        self.has_gaps = False  # between those blocks
        self.cut_from: int | None = None  # the first item of a block that the index has and the file has not
        self.memory = memoryview(b"")

    @property
    def has_holes(self) -> bool:
        """Sealed items are missing."""
        return self.has_gaps or self.reached < self.end

    # -- which blocks there are --------------------------------------------------------------------

    def refresh(self, end: int | None = None) -> None:
        """Look for new blocks.

        Parameters
        ----------
        end : int, optional
            Where the segment ends, if another one follows: all of this segment is sealed then.
        """
        self.read_header()
        self.next_first = end
        sealed = self.counted_to if end is None else end
        for data in self._new_entries():
            entry, is_intact = unpack_index_entry(data)
            is_valid = is_intact and self._fits(entry)
            is_sealed = self.reached < sealed
            if not is_sealed and not (is_valid and self._follows(entry)):
                break  # The block is torn, or not yet complete: the next refresh looks at it again.
            self.index_offset += INDEX_ENTRY.itemsize
            self.last_entry = bytes(data)
            if is_valid:
                self._add_block(entry, is_checked=not is_sealed)
        self.end = max(self.reached, sealed)

    def read_header(self) -> None:
        """Find out how large the file is, and how many items its header counts."""
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

    def _new_entries(self) -> list[memoryview]:
        """Index entries that were not read before; all of them if the last one that was read has changed.

        A writer whose sync failed removes the last block, and only that, and writes another one in its place.
        """
        size = INDEX_ENTRY.itemsize
        known = len(self.last_entry)
        try:
            with open(self.index_path, "rb") as file:
                file.seek(self.index_offset - known)
                data = memoryview(file.read())
        except FileNotFoundError:
            return []
        if data[:known] != self.last_entry:
            self._forget_blocks()
            return self._new_entries()
        return [data[at : at + size] for at in range(known, len(data) - size + 1, size)]

    def _fits(self, entry: Entry) -> bool:
        """Can the block be where its entry says?"""
        first, count, start, size, *_ = entry
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

    def _follows(self, entry: Entry) -> bool:
        """Does the block follow those before it, and is all of it there?"""
        first, _, start, size, _, block_checksum, _ = entry
        return first == self.reached and self._is_intact(start, size, block_checksum)

    def _add_block(self, entry: Entry, is_checked: bool) -> None:
        """Add a block. O(1), amortised."""
        first, count, *_ = entry
        self.has_gaps = self.has_gaps or first > self.reached
        self.reached = first + count
        self.is_checked.append(is_checked)
        known = len(self.entries)
        if known == len(self._allocated):
            self._allocated = np.empty(2 * known + 16, INDEX_ENTRY)
            self._allocated[:known] = self.entries
        self._allocated[known] = entry
        self.entries = self._allocated[: known + 1]

    def next(self) -> "Segment | None":
        """The segment that begins where this one ends; None if there is none."""
        if self.end == self.first or not os.path.exists(paths_of(self.folder, self.end, self.dtype)[0]):
            return None
        segment = Segment(self.folder, self.end, self.dtype)
        segment.refresh()
        return segment if segment.damage is None else None

    # -- what is in them ---------------------------------------------------------------------------

    def _offset(self, item: int) -> int:
        offset: int = len(self.header) + (item - self.first) * self.dtype.itemsize
        return offset

    def _bytes(self, start: int, end: int) -> memoryview:
        """A part of the file, as far as it is there. It is mapped, and stays readable when the file is removed."""
        if len(self.memory) < end:
            with suppress(FileNotFoundError), open(self.path, "rb") as file:
                if os.fstat(file.fileno()).st_size > len(self.memory):
                    self.memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return self.memory[start:end]

    def _is_intact(self, start: int, size: int, block_checksum: int) -> bool:
        block = self._bytes(start, start + size)
        return len(block) == size and checksum(block) == block_checksum

    def blocks(self, first: int, last: int) -> tuple[int, int]:
        """The range of the blocks that hold these items. Checks those blocks that were not checked before.

        Raises
        ------
        DamagedError
            Items between the two are damaged.
        """
        firsts = self.entries["first"]
        low = max(int(firsts.searchsorted(np.uint64(first), "right")) - 1, 0)
        high = int(firsts.searchsorted(np.uint64(last), "left"))
        if self.has_holes:
            for hole in self.holes():
                assert hole.first is not None and hole.last is not None
                if hole.first < last and first < hole.last:
                    raise hole
        i = self.is_checked.find(0, low, high)
        while i >= 0:
            begin, count, start, size, _, block_checksum, _ = self.entries[i].item()
            if not self._is_intact(start, size, block_checksum):
                why = f"the checksum of bytes {start} to {start + size} is wrong"
                raise DamagedError(self.path, why, begin, begin + count)
            self.is_checked[i] = 1
            i = self.is_checked.find(0, i, high)
        return low, high

    def items(self, first: int, last: int) -> NDArray[np.generic]:
        """Items in place: read-only, not copied, checked when they are read for the first time."""
        self.blocks(first, last)
        data = self._bytes(self._offset(first), self._offset(last))
        return np.frombuffer(data, self.dtype.base).reshape((last - first, *self.dtype.shape))

    def encoded(self, first: int, last: int) -> list[memoryview]:
        """Encoded objects, checked in the same way."""
        low, high = self.blocks(first, last)
        objects: list[memoryview] = []
        for _, _, start, size, *_ in self.entries[low:high].tolist():
            objects += unpack_objects(self._bytes(start, start + size))
        begin = int(self.entries["first"][low])
        if len(objects) != int(self.entries["first"][high - 1] + self.entries["count"][high - 1]) - begin:
            raise DamagedError(self.path, "it has another number of objects than its index says", first, last)
        skipped = first - begin
        return objects[skipped : skipped + last - first]

    # -- damage ------------------------------------------------------------------------------------

    def check(self) -> Iterator[DamagedError]:
        """Check all of the segment, and yield what is damaged."""
        if self.has_holes:
            yield from self.holes()
        elif self.damage is not None:
            yield self.damage
        for begin, count in self.entries[["first", "count"]].tolist():
            try:
                self.blocks(begin, begin + count)
            except DamagedError as error:
                yield error

    def holes(self) -> Iterator[DamagedError]:
        """Each range of items that is sealed and has no block, with the file that is to blame."""
        starts = np.append(self.entries["first"], np.uint64(self.end)).tolist()
        ends = [self.first, *(self.entries["first"] + self.entries["count"]).tolist()]
        for begin, end in zip(ends, starts, strict=True):
            middle = min(max(begin, self.counted_to), end)  # from here on a segment is missing
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
            path, why = self.index_path, "it has no valid entry for these items, or the block is not there"
        return DamagedError(path, why, begin, end)
