"""``spill-ring record``: stream a source through a hot and a warm ring into a ``.npy`` file or a folder."""
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import typer

from spill_ring.cli.files import refuse_existing
from spill_ring.cli.progress import progress_bar
from spill_ring.cli.pump import pump, signal_pipe
from spill_ring.cli.sources import Source, open_source
from spill_ring.cli.text import printable
from spill_ring.recording.log import SpillLog
from spill_ring.rings.array import ArrayRing
from spill_ring.sinks.disk import DiskSink
from spill_ring.sinks.npy import NpySink

SEGMENT_BYTES = 1 << 28  # at most, and less where --keep-bytes is small
SEGMENTS_KEPT = 8  # so that only a small part is removed at once
SMALLEST_SEGMENT = 4096  # bytes: each segment costs files and syncs
OTHER_FORMATS = (".npz", ".csv", ".parquet", ".wav")  # a folder is hardly meant to have such a name
SOURCES = (
    "A .npy file; a .wav file; a raw file with its --dtype; - for raw items on stdin; or system: processor, memory, "
    "disk and network of this machine."
)


class Result(NamedTuple):
    """The outcome of a recording."""

    pushed: int  # items that were read
    spilled: int  # items that the warm ring had sent on when the source ended
    still_warm: int
    still_hot: int
    rest: int  # bytes of an incomplete item, which were dropped
    signum: int  # the signal that ended it, or 0


def record(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=SOURCES)],
    to: Annotated[Path, typer.Option(help="The folder to record in, or a .npy file to write.")],
    capacity: Annotated[int, typer.Option(min=1, help="Items that the hot ring holds.")] = 4096,
    warm: Annotated[int, typer.Option(min=1, help="Items that the warm ring holds.")] = 65536,
    dtype: Annotated[
        str | None, typer.Option(help="Of raw items, as numpy spells it: f4, 8i2 for frames of 8 channels.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, max=1000, help="Samples of system per second: 10 by default.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Time after which it ends by itself.")] = None,
    keep_bytes: Annotated[
        int | None, typer.Option(min=1, help="Size of the folder beyond which the oldest items are removed.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a .npy file that exists.")] = False,
) -> int:
    """Record SOURCE through a hot ring and a warm ring.

    A folder survives crashes: each second all that the rings hold is written
    to it, so that kill -9 loses a second at most, and a power loss two.
    Run it again with the same folder and it appends to the same recording.

    Ctrl-C, SIGTERM, --seconds and the end of SOURCE end a recording, with all
    in it that was read. A full disk ends it too, with the items that fit.

    A .wav file becomes u1, i2 or i4 by its bits (24 bits: i4 of the same
    values); several channels become frames.
    """
    written = ""
    try:
        with (
            open_source(source, dtype, rate) as opened,
            signal_pipe(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as stop,
        ):
            ArrayRing(max(capacity, warm), opened.dtype)  # refuses what no ring can hold before a file is made
            with open_sink(to, opened, keep_bytes, force) as sink:
                begin = time.perf_counter()
                try:
                    result = stream(opened, sink, to.name, capacity, warm, stop, seconds)
                finally:
                    with suppress(OSError, ValueError):  # nothing was written, not even a manifest
                        written = describe(to, sink)
    except OSError as error:
        if error.filename is None:
            error.filename = str(to)
        if written:
            error.add_note(written)
        raise
    print_summary(to, opened, result, written, time.perf_counter() - begin)
    return 128 + result.signum if result.signum else 0


@contextmanager
def open_sink(to: Path, source: Source, keep_bytes: int | None, force: bool) -> Iterator[NpySink | DiskSink]:
    """Give the sink that writes to a ``.npy`` file, which is closed at the end, or to a folder."""
    if to.suffix != ".npy":
        yield open_folder(to, force, keep_bytes, source.dtype.itemsize)
        return
    if keep_bytes is not None:
        raise ValueError(f"{to}: --keep-bytes is for a folder; a .npy file grows")
    with open_npy(to, force, source) as file:
        yield NpySink(file)


def open_npy(to: Path, force: bool, source: Source) -> BinaryIO:
    """Open the ``.npy`` file to write: never one that exists, except by force, and never the source."""
    refuse_existing(to, force)
    if to.exists() and os.path.samestat(to.stat(), os.fstat(source.fd)):
        raise ValueError(f"{to} is the source")
    return open(to, "wb" if force else "xb", buffering=0)


def open_folder(to: Path, force: bool, keep_bytes: int | None, itemsize: int) -> DiskSink:
    """Open the folder of a new recording, or of one to append to."""
    if to.suffix in OTHER_FORMATS:
        raise ValueError(f"{to}: what is written is a .npy file, or a folder; export makes other files of a folder")
    if force:
        raise ValueError(f"{to}: --force is for a .npy file; a recording in a folder is appended to")
    if keep_bytes is None:
        return DiskSink(to)
    least = SEGMENTS_KEPT * max(SMALLEST_SEGMENT, itemsize)
    if keep_bytes < least:
        raise ValueError(f"{to}: --keep-bytes must be at least {least} for items of {itemsize} bytes, not {keep_bytes}")
    return DiskSink(to, segment_bytes=min(SEGMENT_BYTES, keep_bytes // SEGMENTS_KEPT), keep_bytes=keep_bytes)


def stream(
    source: Source, sink: NpySink | DiskSink, title: str, capacity: int, warm: int, stop: int, seconds: float | None
) -> Result:
    """Record a source, and close the rings and the sink."""
    # Each ring closes its sink, and on a full disk the sink still writes its header.
    with (
        sink,
        ArrayRing(warm, source.dtype, sink) as warm_ring,
        ArrayRing(capacity, source.dtype, warm_ring) as hot_ring,
        progress_bar(title, source.nbytes, source.itemsize) as advance,
    ):
        def empty_rings() -> None:  # doesn't sync, which might take long: the sink's thread does
            hot_ring.drain(warm_ring)
            warm_ring.drain(sink)

        hand_over = sink.flush if isinstance(sink, NpySink) else empty_rings
        rest, signum = pump(source, hot_ring, hand_over, stop, advance, seconds)
        spilled = warm_ring.stats.spilled
        return Result(hot_ring.stats.pushed, spilled, len(warm_ring), len(hot_ring), rest, signum)


def describe(to: Path, sink: NpySink | DiskSink) -> str:
    """Say which items the file or the folder holds."""
    if isinstance(sink, NpySink):
        return f"{to} holds the first {sink.count:,} items"
    log = SpillLog(to)
    return f"{to} holds items {log.first:,} to {log.end:,}"


def print_summary(to: Path, source: Source, result: Result, written: str, duration: float) -> None:
    """Print what was recorded, and how fast."""
    if to.suffix == ".npy":
        lines = f"spilled     {result.spilled:,}\nstill warm  {result.still_warm:,}\nstill hot   {result.still_hot:,}"
    else:
        lines = f"folder      {printable(written)}"
    rate = result.pushed / duration
    try:
        if result.rest:
            print(f"spill-ring: dropped the last {result.rest} bytes: an item has {source.itemsize}", file=sys.stderr)
        print(
            f"items in    {result.pushed:,}\n{lines}\n"
            f"rate        {rate:,.0f} items/s, {rate * source.dtype.itemsize / 1e6:,.1f} MB/s"
        )
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:  # the recording is complete all the same
        sys.stdout = None  # or Python would flush it again
        sys.exit(printable(f"spill-ring: {to} is complete, but the summary can't be printed: {error}"))
