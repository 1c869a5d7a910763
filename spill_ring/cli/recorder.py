"""The recorder: from a source through a hot and a warm ring into a file or a folder."""
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from spill_ring.cli.sources import Source, open_source
from spill_ring.cli.terminal import progress_bar
from spill_ring.recording.log import SpillLog
from spill_ring.rings.array import ArrayRing
from spill_ring.sinks.disk import DiskSink
from spill_ring.sinks.npy import NpySink

BLOCK = 1 << 20  # bytes read at once
INTERVAL = 1.0  # seconds after which what was read is handed over
SEGMENT_BYTES = 1 << 28  # and less where not much is kept
SEGMENTS_KEPT = 8  # so that what is removed at once is a small part
SMALLEST_SEGMENT = 4096  # bytes: each costs files and syncs
ELSE = (".npz", ".csv", ".parquet", ".wav")  # what a folder is hardly meant to be called


@contextmanager
def caught(*signals: int) -> Iterator[int]:
    """Turn signals into bytes on a pipe, and give the end to read.

    An exception could come between a write and its accounting, and a mere flag would leave a read
    waiting for input that may not come.
    """
    end, start = os.pipe()
    os.set_blocking(start, False)
    previous_fd = signal.set_wakeup_fd(start)
    previous = {number: signal.signal(number, lambda *_: None) for number in signals}
    try:
        yield end
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_fd)
        os.close(start)
        os.close(end)


def pump(
    source: Source,
    ring: ArrayRing,
    hand_over: Callable[[], object],
    stop: int,
    advance: Callable[[int], object],
    seconds: float | None = None,
) -> tuple[int, int]:
    """Push all items of the source, in blocks.

    Parameters
    ----------
    source : Source
    ring : ArrayRing
        Takes the items.
    hand_over : callable
        Called each second, also while nothing comes.
    stop : int
        A file descriptor to end at as soon as it gives a byte.
    advance : callable
        Told the bytes read, each time.
    seconds : float, optional
        After which it ends.

    Returns
    -------
    int
        Bytes of an incomplete item at the end, which are dropped.
    int
        The byte from `stop`, 0 where the source or the time came to its end.
    """
    stored = source.stored or source.dtype
    itemsize = stored.itemsize
    block = np.empty(max(BLOCK // itemsize, 1), stored)
    room = block.reshape(-1).view("u1").data
    left = source.nbytes
    held = 0  # bytes in the block
    end = time.monotonic() + seconds if seconds is not None else float("inf")
    due = time.monotonic() + INTERVAL
    while left != 0 and (now := time.monotonic()) < end:
        if now >= due:
            hand_over()
            now = time.monotonic()
            due = now + INTERVAL
        ready = select.select([source.fd, stop], [], [], max(min(due, end) - now, 0))[0]
        # First the input: what a pipe holds when Ctrl-C ends both of its ends is not lost.
        if source.fd in ready:
            try:
                got = os.readv(source.fd, [room[held:] if left is None else room[held : held + left]])
            except OSError as error:
                error.filename = source.name
                raise
            if got == 0:
                break
            advance(got)
            if left is not None:
                left -= got
            count, part = divmod(held + got, itemsize)
            ring.extend(block[:count] if source.decode is None else source.decode(block[:count]))
            room[:part] = room[count * itemsize : held + got]
            held = part
        if stop in ready:
            return held, os.read(stop, 1)[0]
    return held, 0


def open_npy(to: Path, force: bool, source: Source) -> BinaryIO:
    """The ``.npy`` file to write: never one that exists, except by force, and never the source."""
    if to.exists():
        if not force:
            raise ValueError(f"{to} exists; --force writes over it")
        if os.path.samestat(to.stat(), os.fstat(source.fd)):
            raise ValueError(f"{to} is the source")
    return open(to, "wb" if force else "xb", buffering=0)


def open_folder(to: Path, force: bool, keep_bytes: int | None, itemsize: int) -> DiskSink:
    """The folder to write, or to go on with."""
    if to.suffix in ELSE:
        raise ValueError(f"{to}: what is written is a .npy file, or a folder; export makes other files of a folder")
    if force:
        raise ValueError(f"{to}: --force is for a .npy file; a folder is gone on with")
    if keep_bytes is None:
        return DiskSink(to)
    least = SEGMENTS_KEPT * max(SMALLEST_SEGMENT, itemsize)
    if keep_bytes < least:
        raise ValueError(f"{to}: --keep-bytes must be at least {least} for items of {itemsize} bytes, not {keep_bytes}")
    return DiskSink(to, segment_bytes=min(SEGMENT_BYTES, keep_bytes // SEGMENTS_KEPT), keep_bytes=keep_bytes)


def held(to: Path, sink: NpySink | DiskSink) -> str:
    """What is there, in words."""
    if isinstance(sink, NpySink):
        return f"{to} holds the first {sink.count:,} items"
    log = SpillLog(to)
    return f"{to} holds items {log.first:,} to {log.end:,}"


def record(
    name: str,
    to: Path,
    *,
    capacity: int,
    warm: int,
    dtype: str | None,
    rate: float | None,
    seconds: float | None,
    keep_bytes: int | None,
    force: bool,
) -> int:
    """Stream a source through a hot and a warm ring into a ``.npy`` file or a folder.

    Parameters
    ----------
    name, dtype, rate
        The source, as `open_source` takes it.
    to : Path
        A ``.npy`` file, or the folder of a recording.
    capacity, warm : int
        Items that the two rings hold.
    seconds : float or None
        After which to end.
    keep_bytes : int or None
        Size of the folder beyond which the oldest items are removed.
    force : bool
        Write over a file that exists.

    Returns
    -------
    int
        The exit status.

    Raises
    ------
    MemoryError, OSError, TypeError, ValueError
        With a note of what was recorded all the same.
    """
    is_npy = to.suffix == ".npy"
    kept = ""
    try:
        with (
            open_source(name, dtype, rate) as source,
            caught(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as stop,
            ExitStack() as files,
        ):
            ArrayRing(max(capacity, warm), source.dtype)  # what no ring can hold is refused before a file is made
            if is_npy and keep_bytes is not None:
                raise ValueError(f"{to}: --keep-bytes is for a folder; a .npy file grows")
            if is_npy:
                sink: NpySink | DiskSink = NpySink(files.enter_context(open_npy(to, force, source)))
            else:
                sink = open_folder(to, force, keep_bytes, source.dtype.itemsize)
            begin = time.perf_counter()
            try:
                # Each closes what is behind it, and on a full disk the sink still writes its header.
                with (
                    sink,
                    ArrayRing(warm, source.dtype, sink) as warm_ring,
                    ArrayRing(capacity, source.dtype, warm_ring) as hot_ring,
                    progress_bar(to.name, source.nbytes, source.itemsize) as advance,
                ):
                    def empty_rings() -> None:  # without a sync, which might take long: the sink's thread sees to it
                        hot_ring.drain(warm_ring)
                        warm_ring.drain(sink)

                    hand_over = sink.flush if is_npy else empty_rings
                    part, signum = pump(source, hot_ring, hand_over, stop, advance, seconds)
                    count = hot_ring.stats.pushed
                    spilled, still_warm, still_hot = warm_ring.stats.spilled, len(warm_ring), len(hot_ring)
            finally:
                with suppress(OSError, ValueError):  # nothing, not even a recording
                    kept = held(to, sink)
    except OSError as error:
        if error.filename is None:
            error.filename = str(to)
        if kept:
            error.add_note(kept)
        raise

    if is_npy:
        result = f"spilled     {spilled:,}\nstill warm  {still_warm:,}\nstill hot   {still_hot:,}"
    else:
        result = f"folder      {kept}"
    duration = time.perf_counter() - begin
    try:
        if part:
            print(f"spill-ring: dropped the last {part} bytes: an item has {source.itemsize}", file=sys.stderr)
        print(
            f"items in    {count:,}\n{result}\n"
            f"rate        {count / duration:,.0f} items/s, {count / duration * source.dtype.itemsize / 1e6:,.1f} MB/s"
        )
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:  # the recording is complete all the same
        sys.stdout = None  # which Python would flush again
        sys.exit(f"spill-ring: {to} is complete, but the summary can't be printed: {error}")
    return 128 + signum if signum else 0
