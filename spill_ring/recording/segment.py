"""`Segment`: reads one segment of a recording, also while it is being written."""
import os
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spill_ring.recording.blocks import ENTRY_BYTES, BlockFile, Pages, are_entries_of, objects_in
from spill_ring.recording.files import DamagedError, unreadable
from spill_ring.recording.layout import INDEX_ENTRY, MAX_NUMBER, DType, count_in, header_of, paths_of
from spill_ring.recording.text import has_text, not_unicode

INDEX_BYTES = 8192 * ENTRY_BYTES  # of the index that are read at once
MISSING_TIMES = 1 << 24  # items that may be missing in a row where times are asked
TEXT_BYTES = 1 << 20  # of items whose text is checked at once


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
        self.index_damage: DamagedError | None = None  # of the index as a whole
        self._has_text = dtype is not None and has_text(dtype)
        self._forget_blocks()

    def _forget_blocks(self) -> None:
        self.index_offset = 0  # bytes of the index that were read
        self.last_entry = b""  # the index entry that ends there
        self.pages = Pages(self.first, len(self.header), 0 if self.dtype is None else self.dtype.itemsize)
        self._map = memoryview(b"")

    @property
    def has_holes(self) -> bool:
        """Sealed items are missing."""
        return self.pages.has_gaps or self.pages.reached < self.end

    # -- which blocks there are --------------------------------------------------------------------

    def refresh(self, end: int | None = None) -> None:
        """Look for new blocks.

        Parameters
        ----------
        end : int, optional
            Where the segment ends, if another one follows: all of this segment is sealed then.
        """
        file = self._open_items()
        with file or nullcontext():
            self._read_header(file)
            self.next_first = end
            sealed = self.counted_to if end is None else end
            self._read_index(sealed, file)
        self.end = max(self.pages.reached, sealed)

    def read_header(self) -> None:
        """Find out how large the file is, and how many items its header counts."""
        file = self._open_items()
        with file or nullcontext():
            self._read_header(file)

    def _open_items(self) -> BlockFile | None:
        self.damage = None
        try:
            return BlockFile(self.path)
        except FileNotFoundError:
            self.damage = DamagedError(self.path, "it is missing")
        except DamagedError as error:
            self.damage = error
        return None

    def _read_header(self, file: BlockFile | None) -> None:
        self.size, self.counted_to = 0, self.first
        if file is None:
            return
        try:
            self.size = file.size
            count = count_in(file.read(len(self.header), 0), self.header)
        except OSError as error:
            self.damage = unreadable(self.path, error, "its header")
            return
        if count is None or count > MAX_NUMBER - self.first:
            self.damage = DamagedError(self.path, "its header is wrong")
        else:
            self.counted_to += count

    def _read_index(self, sealed: int, file: BlockFile | None) -> None:
        self.index_damage = None
        try:
            index = BlockFile(self.index_path)
        except FileNotFoundError:
            self.index_damage = DamagedError(self.index_path, "it is missing")
            return
        except DamagedError as error:
            self.index_damage = error
            return
        with index:
            while self._read_entries(index, sealed, file):
                pass

    def _read_entries(self, index: BlockFile, sealed: int, file: BlockFile | None) -> bool:
        """Read index entries that were not read before; all of them if the last one that was read has changed.

        A writer whose sync failed removes the last block, and only that, and writes another one in its place.
        Returns True if there may be more.
        """
        known = len(self.last_entry)
        try:
            data = memoryview(index.read(INDEX_BYTES + known, self.index_offset - known))
        except OSError as error:
            self.index_damage = unreadable(self.index_path, error)
            return False
        if data[:known] != self.last_entry:
            self._forget_blocks()
            return True
        end = -1 if self.next_first is None else self.next_first
        new = data[known:]
        used = self.pages.add(new, self.index_offset, sealed, end, self.size, file, self._has_text)
        if used:
            self.last_entry = bytes(new[used - ENTRY_BYTES : used])
            self.index_offset += used
        if self.pages.error is not None and self.damage is None:
            self.damage = unreadable(self.path, self.pages.error, f"the block at byte {self.pages.data_end}")
        return used == INDEX_BYTES

    def next(self) -> "Segment | None":
        """The segment that begins where this one ends; None if there is none."""
        if self.end == self.first or not os.path.exists(paths_of(self.folder, self.end, self.dtype)[0]):
            return None
        segment = Segment(self.folder, self.end, self.dtype)
        segment.refresh()
        return segment if segment.damage is None else None

    # -- index entries -----------------------------------------------------------------------------

    def pages_of(self, first: int, last: int) -> range:
        """The pages that hold these items."""
        firsts = self.pages.array["first"]
        low = max(int(firsts.searchsorted(first, "right")) - 1, 0)
        return range(low, int(firsts.searchsorted(last, "left")))

    def entries(self, i: int) -> NDArray[np.void]:
        """The index entries of page i, which are read again if there are several.

        Raises
        ------
        DamagedError
            They are not there any more.
        """
        first, end, start, size, time, at, count, block_checksum = self.pages.array[i].item()
        if count == 1:
            return np.array([(first, end - first, start, size, time, block_checksum, 0)], INDEX_ENTRY)
        try:
            with BlockFile(self.index_path) as index:
                data = index.read(count * ENTRY_BYTES, at)
        except DamagedError as error:
            raise DamagedError(self.index_path, error.why, first, end) from None
        except FileNotFoundError:
            raise DamagedError(self.index_path, "it is missing", first, end) from None
        if len(data) != count * ENTRY_BYTES or not are_entries_of(data, first, end, start, size):
            raise DamagedError(self.index_path, "its entries for these items have changed", first, end)
        return np.frombuffer(data, INDEX_ENTRY)

    def first_since(self, time: int) -> int | None:
        """The first item of a block that was sent at this time or later, in ns since 1970; None: there is none."""
        pages = self.pages.array
        i = int(pages["time"].searchsorted(time))
        if i > 0 and pages["count"][i - 1] > 1:
            entries = self.entries(i - 1)
            j = int(entries["time"].searchsorted(time))
            if j < len(entries):
                return int(entries["first"][j])
        return int(pages["first"][i]) if i < len(pages) else None

    def times(self, first: int, last: int) -> NDArray[np.datetime64]:
        """When each item was sent; NaT where the index is damaged.

        Raises
        ------
        DamagedError
            So many items in a row are missing that memory isn't to be allocated for them.
        """
        for hole in self.holes(first, last):
            assert hole.first is not None and hole.last is not None
            if min(hole.last, last) - max(hole.first, first) > MISSING_TIMES:
                raise hole
        found = np.full(last - first, "NaT", "M8[ns]")
        for i in self.pages_of(first, last):
            with suppress(DamagedError):
                page, entries = self.pages.array[i], self.entries(i)
                begin, end = max(int(page["first"]), first), min(int(page["end"]), last)
                times = entries["time"].view("M8[ns]")
                if len(entries) > 1:
                    times = np.repeat(times, entries["count"].astype("i8"))[begin - page["first"] : end - page["first"]]
                found[begin - first : max(end, begin) - first] = times
        return found

    # -- items -------------------------------------------------------------------------------------

    def _offset(self, item: int) -> int:
        offset: int = len(self.header) + (item - self.first) * self.dtype.itemsize
        return offset

    def check_items(self, first: int, last: int) -> range:
        """Check those blocks with these items that were not checked before. Returns their pages.

        Raises
        ------
        DamagedError
            Items between the two are damaged.
        """
        self.check_holes(first, last)
        pages = self.pages_of(first, last)
        i = self.pages.is_checked.find(0, pages.start, pages.stop)
        if i >= 0:
            with self._reading(first, last) as file:
                while i >= 0:
                    for damage in self._damages_in(i, file):
                        assert damage.first is not None and damage.last is not None
                        if damage.first < last and first < damage.last:
                            raise damage
                    i = self.pages.is_checked.find(0, i + 1, pages.stop)
        return pages

    def check_holes(self, first: int, last: int) -> None:
        """Raise DamagedError if the file can't have some of these items."""
        if self.has_holes:
            for hole in self.holes(first, last):
                raise hole

    def _reading(self, first: int, last: int) -> BlockFile:
        try:
            return BlockFile(self.path)
        except FileNotFoundError:
            raise DamagedError(self.path, "it is missing", first, last) from None
        except DamagedError as error:
            raise DamagedError(self.path, error.why, first, last) from None

    def items(self, first: int, last: int) -> NDArray[np.generic]:
        """Items in place: read-only, not copied, checked when they are read for the first time.

        Raises
        ------
        OSError
            The system gives no map of the file.
        """
        self.check_items(first, last)
        begin, end = self._offset(first), self._offset(last)
        if len(self._map) < end:
            with self._reading(first, last) as file:
                self._map = memoryview(file.map(self.pages.data_end))
        if len(self._map) < end:
            raise DamagedError(self.path, f"it ends after {len(self._map)} bytes", first, last)
        return np.frombuffer(self._map[begin:end], self.dtype.base).reshape((last - first, *self.dtype.shape))

    def read_into(self, out: NDArray[np.generic], first: int, last: int) -> None:
        """Copy items into an array, checked in the same way. Nothing is mapped."""
        self.check_items(first, last)
        with self._reading(first, last) as file:
            self._read_into(file, out, first, last)

    def _read_into(self, file: BlockFile, out: NDArray[np.generic], first: int, last: int) -> None:
        try:
            count = file.read_into(out.reshape(-1).view("u1").data, self._offset(first))
        except OSError as error:
            raise unreadable(self.path, error, "a part of it", first, last) from error
        if count < out.nbytes:
            raise DamagedError(self.path, f"it ends after {self._offset(first) + count} bytes", first, last)

    def encoded(self, first: int, last: int) -> list[bytes]:
        """Encoded objects, copied, and checked in the same way."""
        pages = self.check_items(first, last)
        found: list[bytes] = []
        with self._reading(first, last) as file:
            for i in pages:
                begin, end, start, size, *_ = self.pages.array[i].item()
                if self.pages.is_checked[i]:
                    found += self._objects_in(file, begin, end, start, size, first, last)
                    continue
                for begin, count, start, size, *_ in self.entries(i).tolist():  # Another block of the page is damaged.
                    if begin < last and first < begin + count:
                        found += self._objects_in(file, begin, begin + count, start, size, first, last)
        return found

    def _objects_in(
        self, file: BlockFile, begin: int, end: int, start: int, size: int, first: int, last: int
    ) -> list[bytes]:
        """Of the objects `begin` to `end`, which lie in bytes from `start` on: those from `first` to `last`."""
        try:
            data = file.read(size, start)
        except OSError as error:
            raise unreadable(self.path, error, f"a part of bytes {start} to {start + size}", begin, end) from error
        objects = objects_in(data, end - begin, max(first - begin, 0), max(min(last, end) - begin, 0))
        if objects is None:
            raise DamagedError(self.path, "it has another number of objects than its index says", begin, end)
        return objects

    # -- damage ------------------------------------------------------------------------------------

    def check(self) -> Iterator[DamagedError]:
        """Check all of the segment, and yield what is damaged."""
        if self.has_holes:
            yield from self.holes(self.first, self.end)
        elif self.damage is not None:
            yield self.damage
        elif self.index_damage is not None and os.path.lexists(self.index_path):
            yield self.index_damage
        if not len(self.pages.array):
            return
        try:
            file = self._reading(self.first, self.end)
        except DamagedError as error:
            yield error
            return
        with file:
            for i in range(len(self.pages.array)):
                yield from self._damages_in(i, file)

    def _damages_in(self, i: int, file: BlockFile) -> list[DamagedError]:
        """What is damaged in page i."""
        try:
            entries = self.entries(i)
            found = []
            for first, end, start, stop, error in file.damaged_blocks(entries.view("u1").data):
                if error is None:
                    why = f"the checksum of bytes {start} to {stop} is wrong"
                    found.append(DamagedError(self.path, why, first, end))
                else:
                    found.append(unreadable(self.path, error, f"a part of bytes {start} to {stop}", first, end))
            if not found and self.dtype is None:
                begin, end, start, size, *_ = self.pages.array[i].item()
                self._objects_in(file, begin, end, start, size, end, end)  # counts them
            if not found and self._has_text:
                found = self._wrong_text_in(i, file)
        except DamagedError as damage:
            return [damage]
        self.pages.set_checked(i, not found)
        return found

    def _wrong_text_in(self, i: int, file: BlockFile) -> list[DamagedError]:
        """The items of page i whose text can't be a str."""
        begin, end, *_ = self.pages.array[i].item()
        step = max(TEXT_BYTES // self.dtype.itemsize, 1)
        found = []
        for first in range(begin, end, step):
            last = min(first + step, end)
            items = np.empty(last - first, self.dtype)
            self._read_into(file, items, first, last)
            for n in not_unicode(items):
                found.append(DamagedError(self.path, "it has text beyond Unicode", first + n, first + n + 1))
        return found

    def holes(self, first: int, last: int) -> Iterator[DamagedError]:
        """Each range of items that is sealed and has no block, with the file that is to blame.

        Only those ranges that have some of the items from `first` to `last`.
        """
        starts = np.append(self.pages.array["first"], self.end)
        ends = np.append(self.first, self.pages.array["end"])
        for i in np.flatnonzero((ends < starts) & (ends < last) & (first < starts)).tolist():
            begin, end = int(ends[i]), int(starts[i])
            middle = min(max(begin, self.counted_to), end)  # from here on a segment is missing
            for low, high in ((begin, middle), (middle, end)):
                if max(low, first) < min(high, last):
                    yield self._hole(low, high)

    def _hole(self, begin: int, end: int) -> DamagedError:
        next_path = paths_of(self.folder, begin, self.dtype)[0]
        cut_from = self.pages.cut_from
        if self.damage is not None:
            path, why = self.path, self.damage.why
        elif begin == self.counted_to and not os.path.exists(next_path):
            path, why = next_path, "it is missing"
        elif cut_from is not None and cut_from < end:
            path, why = self.path, f"it ends after {self.size} bytes"
        elif self.index_damage is not None:
            path, why = self.index_path, self.index_damage.why
        else:
            path, why = self.index_path, "it has no valid entry for these items, or the block is not there"
        return DamagedError(path, why, begin, end)
