"""The command line: ``spill-ring``, also as ``python -m spill_ring``."""
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from spill_ring.array_ring import ArrayRing
from spill_ring.sinks.npy import NpySink

BLOCK = 1 << 20  # bytes read at once


class Source(NamedTuple):
    """Where items are read from."""

    name: str
    fd: int  # at the first item
    dtype: np.dtype
    nbytes: int | None  # None: to the end of the stream


def open_source(name: str, dtype: str | None) -> Source:
    """Open a ``.npy`` file, or standard input as raw items.

    Parameters
    ----------
    name : str
        A path, or ``-``.
    dtype : str or None
        Of the items on standard input.

    Raises
    ------
    OSError, TypeError, ValueError
        There are no items to be had from it.
    """
    if name == "-":
        if dtype is None:
            raise ValueError("raw items on standard input need their --dtype, as in --dtype f4")
        if sys.stdin is None:  # and another file will get its descriptor
            raise ValueError("standard input is closed")
        try:
            return Source("standard input", 0, np.dtype(dtype), None)
        except (TypeError, ValueError, SyntaxError) as error:
            raise ValueError(f"--dtype {dtype}: {error}") from None
    if dtype is not None:
        raise ValueError("--dtype is for standard input; a .npy file knows its own")
    try:
        stored = np.lib.format.open_memmap(name, mode="r")  # checks header and length, and reads no item
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if stored.ndim == 0:
        raise ValueError(f"{name}: a single value, not an array of items")
    if not stored.flags.c_contiguous:
        raise ValueError(f"{name}: the array is in Fortran order; save np.ascontiguousarray() of it")
    fd = os.open(name, os.O_RDONLY)
    os.lseek(fd, stored.offset, os.SEEK_SET)
    return Source(name, fd, np.dtype((stored.dtype, stored.shape[1:])), stored.nbytes)


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


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """Show a progress bar where standard error is a terminal; gives the call that advances it, by bytes."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=sys.stderr is None or not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=total)
        yield lambda nbytes: bar.advance(task, nbytes)


def pump(
    source: Source, ring: ArrayRing, sink: NpySink, stop: int, advance: Callable[[int], object]
) -> tuple[int, int]:
    """Push all items of the source, in blocks.

    Parameters
    ----------
    source : Source
    ring : ArrayRing
        Takes the items.
    sink : NpySink
        Where they end up: flushed each second, so that its file can be read meanwhile.
    stop : int
        A file descriptor to end at as soon as it gives a byte.
    advance : callable
        Told the bytes read, each time.

    Returns
    -------
    int
        Bytes of an incomplete item at the end, which are dropped.
    int
        The byte from `stop`, 0 where the source came to its end.
    """
    itemsize = source.dtype.itemsize
    block = np.empty(max(BLOCK // itemsize, 1), source.dtype)
    room = block.reshape(-1).view("u1").data
    left = source.nbytes
    held = 0  # bytes in the block
    flushed = time.monotonic()
    while left != 0:
        ready = select.select([source.fd, stop], [], [])[0]
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
            ring.extend(block[:count])
            room[:part] = room[count * itemsize : held + got]
            held = part
        if stop in ready:
            return held, os.read(stop, 1)[0]
        if time.monotonic() - flushed >= 1:
            sink.flush()
            flushed = time.monotonic()
    return held, 0


def record(name: str, capacity: int, warm: int, to: Path, dtype: str | None, force: bool) -> int:
    """Stream a source through a hot and a warm ring into a ``.npy`` file.

    Parameters
    ----------
    name : str
        A ``.npy`` file, or ``-`` for standard input.
    capacity, warm : int
        Items that the two rings hold.
    to : Path
        The ``.npy`` file to write.
    dtype : str or None
        Of the items on standard input.
    force : bool
        Write over a file that exists.

    Returns
    -------
    int
        The exit status.
    """
    try:
        source = open_source(name, dtype)
        if to.suffix != ".npy":
            raise ValueError(f"{to}: what is written is a .npy file, so name it so")
        if to.exists():
            if not force:
                raise ValueError(f"{to} exists; --force writes over it")
            if os.path.samestat(to.stat(), os.fstat(source.fd)):
                raise ValueError(f"{to} is the source")
        ArrayRing(max(capacity, warm), source.dtype)  # what no ring can hold is refused before a file is made
    except (MemoryError, OSError, TypeError, ValueError) as error:
        sys.exit(f"spill-ring: {error}")

    begin = time.perf_counter()
    kept = ""
    try:
        with (
            caught(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as stop,
            open(to, "wb" if force else "xb", buffering=0) as file,
        ):
            sink = NpySink(file)
            try:
                # Each closes what is behind it, and on a full disk the sink still writes its header.
                with (
                    sink,
                    ArrayRing(warm, source.dtype, sink) as warm_ring,
                    ArrayRing(capacity, source.dtype, warm_ring) as hot_ring,
                    progress_bar(to.name, source.nbytes) as advance,
                ):
                    part, signum = pump(source, hot_ring, sink, stop, advance)
                    spilled, still_warm, still_hot = warm_ring.stats.spilled, len(warm_ring), len(hot_ring)
            finally:
                kept = f"; {to} holds the first {sink.count:,} items"
    except OSError as error:
        sys.exit(f"spill-ring: {error.filename or to}: {error.strerror or error}{kept}")

    count = spilled + still_warm + still_hot
    rate = count / (time.perf_counter() - begin)
    try:
        if part:
            warning = f"spill-ring: dropped the last {part} bytes: an item has {source.dtype.itemsize}"
            print(warning, file=sys.stderr)
        print(
            f"items in    {count:,}\n"
            f"spilled     {spilled:,}\n"
            f"still warm  {still_warm:,}\n"
            f"still hot   {still_hot:,}\n"
            f"rate        {rate:,.0f} items/s, {rate * source.dtype.itemsize / 1e6:,.1f} MB/s"
        )
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:  # the recording is complete all the same
        sys.stdout = None  # which Python would flush again
        sys.exit(f"spill-ring: {to} is complete, but the summary can't be printed: {error}")
    return 128 + signum if signum else 0


def main() -> None:
    """Run the command line."""
    try:
        import typer
    except ModuleNotFoundError:
        sys.exit("spill-ring: the command line needs more packages: pip install 'spill_ring[cli]'")

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @app.callback()
    def spill_ring() -> None:  # without one, typer makes a single command the whole program
        """Bounded buffers that spill their oldest items instead of losing them."""

    @app.command("record")
    def record_command(
        source: Annotated[str, typer.Argument(metavar="SOURCE", help="A .npy file; - reads raw items from stdin.")],
        to: Annotated[Path, typer.Option(help="The .npy file to write.")],
        capacity: Annotated[int, typer.Option(min=1, help="Items that the hot ring holds.")] = 4096,
        warm: Annotated[int, typer.Option(min=1, help="Items that the warm ring holds.")] = 65536,
        dtype: Annotated[str | None, typer.Option(help="Of the items on stdin, as numpy spells it.")] = None,
        force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
    ) -> None:
        """Stream SOURCE through a hot ring and a warm ring into a .npy file.

        Ctrl-C ends the recording: what was read until then is in the file.
        """
        raise typer.Exit(record(source, capacity, warm, to, dtype, force))

    app(prog_name="spill-ring")
