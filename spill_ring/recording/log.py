"""`SpillLog`: reads what a `DiskSink` recorded, also while it is being recorded."""
import errno
import operator
import os
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from spill_ring.recording.files import DamagedError
from spill_ring.recording.folder import last_sealed, segments_in
from spill_ring.recording.layout import MAX_NUMBER, Manifest, paths_of, read_manifest
from spill_ring.recording.segment import Segment
from spill_ring.serialization.encoders import HARMLESS, Serialized, _AnyEncoder, encoder_of

OPEN_SEGMENTS = 256  # whose index entries and mapped memory are kept
POLL = 0.02  # seconds between two looks of `follow`
_MAX_NS = 2.0**62  # nanoseconds since 1970; nothing is recorded later, or earlier than minus that
_T = TypeVar("_T")
_Time: TypeAlias = float | datetime | np.datetime64


class SpillLog:
    """Reads a recording: a sequence, numbered from the first item that was ever recorded.

    Parameters
    ----------
    path : path
        The folder that a `DiskSink` writes or wrote.
    encoder : str, type or encoder, optional
        The encoder of a recording of objects. It is needed for "pickle", which runs what the writer chose, for a type,
        which the recording doesn't know, and for an encoder of your own.
    copy : bool, optional
        What a slice is. None, the default: a read-only map of the file if both ends lie in one segment, and otherwise a
        copy. True: always a copy. False: always a map, or a ValueError. (A single item is always a copy.)

    Attributes
    ----------
    path : str
    dtype : dtype or None
        Of the items; None for objects.
    first, end : int
        The sequence numbers that are there: ``first <= n < end``. `first` is not 0 where ``keep_bytes`` removed
        the oldest.

    Raises
    ------
    FileNotFoundError
        There is no recording.
    DamagedError
        A part of the recording is not what was written. Whatever reads that part raises this; all else can be read.
    IndexError
        Items that were removed, or are not there yet.

    Notes
    -----
    Reading changes nothing. The log has the items that were there at the last `refresh`, which `follow` calls itself.
    ``log[a:b]`` is a read-only array on the file, without a copy, if both ends lie in one segment: O(1) once its
    blocks have been checked, which happens when they are read for the first time. No writer of ours cuts off what was
    handed out so. But where the disk fails later, or a network's file system goes away, the system ends a process that
    looks at such an array (SIGBUS). With ``copy=True`` nothing is mapped, and that is a `DamagedError`.
    With ``sync="always"`` a block can be seen before it is synced, and disappears if the sync fails.
    **Thread safety.** One thread at a time.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with ArrayRing(2, "i4", sink=DiskSink(folder)) as ring:
    ...     ring.extend(range(10))
    >>> log = SpillLog(folder)
    >>> log
    SpillLog(int32 items 0 to 10)
    >>> log[3], log[-2:]
    (np.int32(3), array([8, 9], dtype=int32))
    """

    def __init__(
        self, path: str | os.PathLike[str], *, encoder: _AnyEncoder | None = None, copy: bool | None = None
    ) -> None:
        self.path = os.path.abspath(os.fsdecode(path))
        found = read_manifest(self.path)
        if found is None:
            raise FileNotFoundError(f"{self.path} holds no recording (yet)")
        self.dtype = found.dtype
        if found.encoder is not None:
            self._decode = self._decoder(found.encoder, encoder)
            if copy is False:
                raise ValueError(f"{self.path} holds objects, which can't be had without a copy: give no copy=False")
        self._copy = copy
        self._manifest: Manifest | None = None  # of the time when the next two were found
        self._firsts: list[int] = []  # of the segments
        self._segments: OrderedDict[int, Segment] = OrderedDict()  # by their first item; the last used ones
        self._update(found)

    @staticmethod
    def _decoder(name: str, encoder: _AnyEncoder | None) -> Any:
        if encoder is None and name in HARMLESS:
            encoder = name
        if encoder is None and name == Serialized.name:
            raise ValueError("the objects were recorded by ByteSerializer; say their type to read them, as encoder=")
        if encoder is None:
            raise ValueError(
                f"the objects were recorded by encoder={name!r}; say so again to read them"
                + (", if you trust who wrote them: unpickling runs what they chose" if name == "pickle" else "")
            )
        encoder = encoder_of(encoder)
        if encoder.name != name:
            raise ValueError(f"the objects were recorded by encoder {name!r}, not {encoder.name!r}")
        return encoder.decode

    # -- what is there -----------------------------------------------------------------------------

    def refresh(self) -> int:
        """Look for new items, and for items that were removed.

        Returns
        -------
        int
            `end`, the sequence number of the item to come next.
        """
        return self._update(self._read_manifest())

    def _update(self, manifest: Manifest) -> int:
        while True:
            firsts = self._firsts if manifest == self._manifest else self._list_segments(manifest)
            last = self._segments.get(firsts[-1]) or Segment(self.path, firsts[-1], self.dtype)
            last.refresh()
            self._remember(last)
            while (segment := last.next()) is not None:
                firsts = [*firsts, segment.first]
                self._remember(segment)
                last = segment
            if os.path.exists(last.index_path):  # The oldest are removed first, so none was removed before it was seen.
                break
            before, manifest = manifest, self._read_manifest()
            if manifest == before:
                break
        for first in self._segments.keys() - set(firsts) if firsts is not self._firsts else ():
            del self._segments[first]
        self._manifest, self._firsts, self.first, self.end = manifest, firsts, manifest.first, last.end
        return self.end

    def _read_manifest(self) -> Manifest:
        found = read_manifest(self.path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "it holds no recording any more", self.path)
        return found

    def _list_segments(self, manifest: Manifest) -> list[int]:
        found = segments_in(self.path, self.dtype)
        last = last_sealed(self.path, manifest, found)
        return sorted({manifest.first, last}.union(first for first in found if manifest.first < first < last))

    def _end_of(self, i: int) -> int | None:
        """Where segment i ends; None: it is the last."""
        return self._firsts[i + 1] if i + 1 < len(self._firsts) else None

    def _segment(self, i: int) -> Segment:
        first, end = self._firsts[i], self._end_of(i)
        segment = self._segments.get(first) or Segment(self.path, first, self.dtype)
        if segment.next_first != end:
            segment.refresh(end)
        self._remember(segment)
        return segment

    def _remember(self, segment: Segment) -> None:
        self._segments[segment.first] = segment
        self._segments.move_to_end(segment.first)
        if len(self._segments) > OPEN_SEGMENTS:
            self._segments.popitem(last=False)

    def __len__(self) -> int:
        return self.end - self.first

    # -- items -------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            start, stop, step = key.start, key.stop, 1 if key.step is None else key.step
            if step < 1:
                raise ValueError(f"a step must be at least 1, not {step}")
            start, stop = self._range_of(start, stop)
            return self._read(start, stop, self._copy)[::step]
        number = self._number(key)
        if not self.first <= number < self.end:
            self._raise_missing(number)
        return self._read(number, number + 1, copy=True)[0]

    def _range_of(self, start: Any, stop: Any) -> tuple[int, int]:
        """The sequence numbers from `start` to `stop`: negative ones count from the end. The first must be there."""
        start = self.first if start is None else self._number(start)
        stop = self.end if stop is None else min(self._number(stop), self.end)
        if start < 0:
            self._raise_missing(start)
        if start < self.first and start < stop:
            self._raise_removed(start, stop)
        return start, max(start, stop)

    def _raise_missing(self, number: int) -> None:
        why = "was removed" if 0 <= number < self.first else "is not there"
        raise IndexError(f"item {number} {why}: there are {self.first} to {self.end}")

    def _number(self, index: Any) -> int:
        number = operator.index(index)
        return number if number >= 0 else number + self.end

    def _read(self, start: int, stop: int, copy: bool | None) -> Any:
        """Items, as an array or a list."""
        if start >= stop:
            return [] if self.dtype is None else np.empty(0, self.dtype)
        found = self._try_again(lambda: self._read_across(start, stop, copy), start, stop)
        return found if self.dtype is not None else self._decoded(found, start)

    def _try_again(self, read: Callable[[], _T], start: int, stop: int) -> _T:
        """Read again what seems to be damaged: it may have been removed, which is no damage."""
        try:
            return read()
        except DamagedError:
            self._raise_if_gone(start, stop)
        try:
            return read()
        except DamagedError:
            self._raise_if_gone(start, stop)
            raise

    def _raise_if_gone(self, start: int, stop: int) -> None:
        """Refresh, and raise if the items were removed, or were in a last block whose sync failed."""
        self._segments.clear()  # What is known of a segment may be from before its end was written.
        self.refresh()
        if start < self.first:
            self._raise_removed(start, stop)
        if stop > self.end:
            self._raise_missing(stop - 1)

    def _raise_removed(self, start: int, stop: int) -> None:
        raise IndexError(f"items {start} to {min(stop, self.first)} were removed; the first is {self.first}") from None

    def _read_across(self, start: int, stop: int, copy: bool | None) -> Any:
        """Items as an array, or encoded objects."""
        i, j = bisect_right(self._firsts, start) - 1, bisect_left(self._firsts, stop)
        if self.dtype is None:
            return [data for part in self._parts(i, j, start, stop) for data in part[0].encoded(*part[1:])]
        if j == i + 1 and not copy:
            try:
                return self._segment(i).items(start, stop)
            except OSError as error:
                if copy is False or error.errno not in (errno.ENOMEM, errno.ENODEV, errno.ENOSYS):
                    raise  # otherwise the system gives no map, or no more
        if copy is False:
            raise ValueError(f"items {start} to {stop} lie in {j - i} files, so an array of them is a copy")
        if (stop - start) * self.dtype.itemsize > sum(self._file_size(first) for first in self._firsts[i:j]):
            for segment, begin, end in self._parts(i, j, start, stop):
                segment.check_holes(begin, end)  # before memory is allocated for what isn't there
        items = np.empty(stop - start, self.dtype)
        for segment, begin, end in self._parts(i, j, start, stop):
            segment.read_into(items[begin - start : end - start], begin, end)
        return items

    def _parts(self, i: int, j: int, start: int, stop: int) -> Iterator[tuple[Segment, int, int]]:
        """Segments i to j, and which items between `start` and `stop` each has."""
        for k in range(i, j):
            yield self._segment(k), max(self._firsts[k], start), min(self._end_of(k) or stop, stop)

    def _file_size(self, first: int) -> int:
        try:
            return os.lstat(paths_of(self.path, first, self.dtype)[0]).st_size
        except FileNotFoundError:
            return 0

    def _decoded(self, encoded: list[bytes], first: int) -> list[Any]:
        found = []
        for n, data in enumerate(encoded, first):
            try:
                found.append(self._decode(data))
            except MemoryError:
                raise
            except Exception as error:
                path = paths_of(self.path, self._firsts[bisect_right(self._firsts, n) - 1], None)[0]
                raise DamagedError(path, f"its encoder can't decode it, {error!r}", n, n + 1) from error
        return found

    def blocks(self, n: int = 65536, /, *, start: int | None = None, stop: int | None = None) -> Iterator[Any]:
        """The items in blocks.

        Parameters
        ----------
        n : int
            Items in a block, at most. A block ends where a segment ends, so that typed items need no copy.
        start, stop : int, optional
            Sequence numbers between which to read; negative ones count from the end. By default all items that are
            there when the iteration begins.

        Yields
        ------
        ndarray or list

        Raises
        ------
        IndexError
            The first item was removed, or was never there.
        DamagedError
            At the first block that can't be read; or after the last, if the file that held the end is missing.
        """
        if operator.index(n) < 1:
            raise ValueError(f"a block has at least 1 item, not {n}")
        to_the_end = stop is None
        at, stop = self._range_of(start, stop)
        while at < stop:
            i = bisect_right(self._firsts, at) - 1
            until = min(at + n, stop, self._end_of(i) or stop)
            yield self[at:until]
            at = until
        if to_the_end and self._segment(len(self._firsts) - 1).damage is not None:
            self.refresh()  # The segment may have been removed.
            if (damage := self._segment(len(self._firsts) - 1).damage) is not None:
                raise damage

    def __iter__(self) -> Iterator[Any]:
        for block in self.blocks():
            yield from block

    def by_time(self, t0: _Time, t1: _Time) -> Any:
        """The items of the blocks that were sent at ``t0 <= time < t1``.

        Parameters
        ----------
        t0, t1 : float, datetime or numpy.datetime64
            A number is seconds since 1970, and may be infinite; a datetime without a time zone is local time, as
            everywhere in Python; a datetime64 is UTC, as everywhere in numpy.

        Returns
        -------
        ndarray or list
            Found in O(log(segments)), and read as a slice is.

        Raises
        ------
        TypeError
            Another kind of time.
        ValueError
            NaN or NaT.
        DamagedError
            Items that may be among these are damaged.
        """
        times = [_nanoseconds(t) for t in (t0, t1)]
        first = -1
        while True:
            try:
                begin, end = (self._first_since(t) for t in times)
                return self._read(begin, end, self._copy)
            except DamagedError:
                if first == self.first:
                    raise
                first = self.first
                self.refresh()  # What seems to be damaged may have been removed, and more since the last look.

    def _first_since(self, nanoseconds: int) -> int:
        """The first item that was sent at this time or later."""
        i = bisect_left(range(len(self._firsts)), nanoseconds, key=self._first_time) - 1
        if i < 0:
            return self.first
        first = self._segment(i).first_since(nanoseconds)
        return first if first is not None else self._end_of(i) or self.end

    def _first_time(self, i: int) -> int:
        for j in range(i, len(self._firsts)):  # A segment whose index is damaged has the time of the next one.
            pages = self._segment(j).pages.array
            if len(pages):
                return int(pages["time"][0])
        return MAX_NUMBER

    def times(self, start: int | None = None, stop: int | None = None) -> NDArray[np.datetime64]:
        """When each item was sent: ndarray of ``datetime64[ns]``, UTC. O(blocks in the segments between).

        Items have NaT where the index is damaged.

        Parameters
        ----------
        start, stop : int, optional
            Sequence numbers; negative ones count from the end. By default all that is there.

        Raises
        ------
        IndexError
            The first item was removed, or was never there.
        DamagedError
            Very many items are missing.
        """
        start, stop = self._range_of(start, stop)
        if start == stop:
            return np.empty(0, "M8[ns]")
        times = self._try_again(lambda: self._times(start, stop), start, stop)
        if np.isnat(times).any():
            self._raise_if_gone(start, stop)
        return times

    def _times(self, start: int, stop: int) -> NDArray[np.datetime64]:
        i, j = bisect_right(self._firsts, start) - 1, bisect_left(self._firsts, stop)
        return np.concatenate([segment.times(begin, end) for segment, begin, end in self._parts(i, j, start, stop)])

    def follow(self, start: int | None = None, *, timeout: float | None = None) -> Iterator[Any]:
        """The items from `start` on in blocks, and then new ones as they come.

        Parameters
        ----------
        start : int, optional
            The first item to read; a negative number counts from the end. By default the first that is not there yet.
        timeout : float, optional
            Seconds without a new item after which the iteration ends; by default it never ends.

        Yields
        ------
        ndarray or list

        Raises
        ------
        IndexError
            `keep_bytes` removed the next item before it was read: the writer is faster. Continue at `first`.
        DamagedError
            The next item is damaged.
        """
        self.refresh()
        at = self.end if start is None else start if start >= 0 else self._range_of(start, None)[0]
        waited_since = time.monotonic()
        while True:
            if self.refresh() > at:
                for block in self.blocks(start=at):
                    at += len(block)
                    yield block
                waited_since = time.monotonic()
            elif timeout is not None and time.monotonic() - waited_since >= timeout:
                return
            else:
                time.sleep(POLL)

    def verify(self, progress: Callable[[int], object] | None = None) -> list[DamagedError]:
        """Check everything.

        Parameters
        ----------
        progress : callable, optional
            Called after each segment with the number of its items.

        Returns
        -------
        list of DamagedError
            What is damaged; empty if nothing is. O(bytes in the recording).
        """
        found = []
        for first, end in [(first, self._end_of(i)) for i, first in enumerate(self._firsts)]:
            for _ in range(2):  # What seems to be damaged may have been removed since it was read.
                segment = Segment(self.path, first, self.dtype)  # a new one, which reads from the disk
                segment.refresh(end)
                damages = list(segment.check())
                if not damages:
                    break
                self.refresh()
            if first >= self.first:
                found += damages
            if progress is not None:
                progress(segment.end - first)
        return found

    def __repr__(self) -> str:
        return f"SpillLog({'objects' if self.dtype is None else f'{self.dtype} items'} {self.first} to {self.end})"


def _nanoseconds(t: Any) -> int:
    if t != t:
        raise ValueError(f"a time can't be {t!r}")
    if isinstance(t, np.datetime64):
        return int(t.astype("M8[ns]").astype("i8"))
    if isinstance(t, datetime):
        t = t.timestamp()
    if isinstance(t, int | float | np.number):
        return round(min(max(float(t) * 1e9, -_MAX_NS), _MAX_NS))
    raise TypeError(f"a time is a number of seconds since 1970, a datetime or a datetime64, not {t!r}")
