"""The command line: ``spill-ring``, also as ``python -m spill_ring``."""
import csv
import io
import os
import select
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from spill_ring import __version__
from spill_ring.cli.columns import rows
from spill_ring.cli.export import export
from spill_ring.cli.plot import envelope, to_png, to_terminal
from spill_ring.cli.recorder import record
from spill_ring.cli.terminal import progress_bar
from spill_ring.recording.folder import segments_in
from spill_ring.recording.layout import DamagedError, read_manifest
from spill_ring.recording.log import SpillLog
from spill_ring.serialization.encoders import HARMLESS

EXTRAS = {"matplotlib": "plot", "pyarrow": "parquet"}  # of what isn't in "cli"
RUNS = 1500  # of items, in a picture
LOOK = 0.5  # seconds after which `tail -f` sees that nobody reads it any more


class Uninterpreted(NamedTuple):
    """Stands for an encoder where objects are only counted: so nothing that a stranger chose is run."""

    name: str
    encode: Any = bytes
    decode: Any = bytes


def show(folder: Path, png: Path | None) -> int:
    """Print what is in a recording, verify it, and draw it.

    Parameters
    ----------
    folder : Path
    png : Path or None
        Where to draw; None: in the terminal.

    Returns
    -------
    int
        The exit status: 1 where something is damaged.
    """
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise  # the BrokenPipeError; rich would end with an error

    manifest = read_manifest(os.fsdecode(folder))
    encoder = manifest and manifest.encoder and Uninterpreted(manifest.encoder)
    log = SpillLog(folder, encoder=encoder)
    itemsize = log.dtype.itemsize if log.dtype is not None else 1
    with progress_bar(f"verifying {folder}", len(log) * itemsize, itemsize) as advance:
        damages = log.verify(lambda count: advance(count * itemsize))
    table = Table("", Column(overflow="fold"), show_header=False, box=None, padding=(0, 2, 0, 0))  # paths in full
    for name, value in described(log, damages):
        table.add_row(name, Text(value))
    console = Output()
    console.print(table)

    if log.dtype is not None and len(log):
        with progress_bar(f"reading {folder}", len(log) * itemsize, itemsize) as advance:
            found = envelope(log, RUNS if png else 2 * console.width, advance)
        if found.is_empty:
            console.print("no numbers to draw")
        elif png:
            name = os.fsencode(folder.resolve().name).decode(errors="replace")
            to_png(found, f"{name}: items {log.first:,} to {log.end:,}", png)
        else:
            console.print(Text.from_ansi(to_terminal(found, console.width)))
    return 1 if damages else 0


def described(log: SpillLog, damages: list[DamagedError]) -> Iterator[tuple[str, str]]:
    """What `show` says of a recording, line by line."""
    segments = segments_in(log.path, log.dtype)
    nbytes = 0
    with os.scandir(log.path) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # keep_bytes has removed it
                nbytes += entry.stat().st_size
    yield "recording", log.path
    yield "items", f"{len(log):,}" + (f", {log.first:,} to {log.end:,}" if log.first else "")
    if log.dtype is None:
        yield "of", "objects"
    elif log.dtype.names:
        yield "of", "\n".join(f"{name}  {log.dtype[name]}" for name in log.dtype.names)
    else:
        yield "of", str(log.dtype)
    yield "files", f"{len(segments):,} segment{'s' * (len(segments) != 1)}, {nbytes:,} bytes"
    if times := ends_of(log):
        begin, end = ("?" if np.isnat(t) else np.datetime_as_string(t, "ms").replace("T", " ") for t in times)
        yield "written", f"{begin} to {end} UTC"
    if damages:
        yield "DAMAGED", "\n".join(map(str, damages))
    else:
        yield "verified", "every item is what was written"


def ends_of(log: SpillLog) -> list[np.datetime64]:
    """When the first and the last item were written; NaT where that is damaged."""
    while len(log):
        try:
            return [log.times(n, n + 1)[0] for n in (log.first, log.end - 1)]
        except IndexError:  # keep_bytes has removed it
            log.refresh()
    return []


def open_log(folder: Path) -> SpillLog:
    """A recording whose items can be shown by whoever finds it."""
    manifest = read_manifest(os.fsdecode(folder))
    if manifest is not None and manifest.encoder not in (None, *HARMLESS):
        raise ValueError(
            f"{folder} holds objects by encoder {manifest.encoder!r}, which takes Python to read: "
            "SpillLog(folder, encoder=...)"
        )
    return SpillLog(folder)


def tail(folder: Path, count: int, follow: bool) -> None:
    """Print the newest items, one a line.

    Parameters
    ----------
    folder : Path
    count : int
        How many of those that are there.
    follow : bool
        Go on with those to come, until nobody reads them any more.
    """
    log = open_log(folder)
    at = max(log.first, log.end - count)
    for block in log.blocks(start=at):
        print_items(block)
        at += len(block)
    while follow and not is_unread():
        try:
            for block in log.follow(at, timeout=LOOK):
                print_items(block)
                at += len(block)
        except IndexError as error:  # keep_bytes was faster than the reader of these lines
            print(f"spill-ring: {error}", file=sys.stderr)
            at = log.first


def print_items(block: Any) -> None:
    """One item a line: as the CSV file has it, objects as Python writes them."""
    if isinstance(block, np.ndarray):
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows(block))
    else:
        print(*map(repr, block), sep="\n")
    sys.stdout.flush()


def is_unread() -> bool:
    """Standard output is a pipe, and its reader is gone."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def export_to(folder: Path, to: Path, force: bool) -> None:
    """Write a recording to a file of another format, with progress."""
    if to.exists() and not force:
        raise ValueError(f"{to} exists; --force writes over it")
    log = open_log(folder)
    itemsize = 1 if log.dtype is None else log.dtype.itemsize
    with progress_bar(to.name, len(log) * itemsize, itemsize) as advance:
        export(log, to, advance)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What a user can do something about is a line on standard error; so are warnings."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files go out as the bytes that they are
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"spill-ring: {message}", file=sys.stderr)
        try:
            yield
        except BrokenPipeError:  # who read the output has seen enough
            sys.stdout = None  # which Python would flush again
        except KeyboardInterrupt:
            sys.exit(130)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package == "spill_ring":
                raise
            sys.exit(f"spill-ring: this needs {package}: pip install 'spill_ring[{EXTRAS.get(package, 'cli')}]'")
        except (IndexError, MemoryError, OSError, TypeError, ValueError) as error:
            said = str(error)
            if isinstance(error, OSError) and error.filename is not None:
                said = f"{os.fsdecode(error.filename)}: {error.strerror or error}"
            sys.exit("; ".join([f"spill-ring: {said}", *getattr(error, "__notes__", [])]))


def main() -> None:
    """Run the command line."""
    try:
        import typer
    except ModuleNotFoundError:
        sys.exit("spill-ring: the command line needs more packages: pip install 'spill_ring[cli]'")

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
    Recording = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of a recording.")]

    def print_version(is_wanted: bool) -> None:
        if is_wanted:
            print(f"spill-ring {__version__}")
            raise typer.Exit()

    @app.callback()
    def spill_ring(
        version: Annotated[
            bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
        ] = False,
    ) -> None:
        """Record streams of numbers so that a crash loses nothing, and look at what was recorded."""

    @app.command("record")
    def record_command(
        source: Annotated[
            str,
            typer.Argument(
                metavar="SOURCE",
                help="A .npy file; a .wav file; a raw file with its --dtype; - for raw items on stdin; or system: "
                "processor, memory, disk and network of this machine.",
            ),
        ],
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
    ) -> None:
        """Record SOURCE through a hot ring and a warm ring.

        A folder survives crashes: each second all that the rings hold is written
        to it, so that kill -9 loses a second at most, and a power loss two.
        Record to the same folder again, and it goes on.

        Ctrl-C, SIGTERM, --seconds and the end of SOURCE end a recording, with all
        in it that was read. A full disk ends it too, with what had room.

        A .wav file becomes u1, i2 or i4 by its bits (24 bits: i4 of the same
        values); several channels become frames.
        """
        sizes = {"capacity": capacity, "warm": warm, "keep_bytes": keep_bytes}
        with one_line_errors():
            raise typer.Exit(record(source, to, dtype=dtype, rate=rate, seconds=seconds, force=force, **sizes))

    @app.command("show")
    def show_command(
        folder: Recording,
        png: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Draw in this file, not in the terminal.")
        ] = None,
    ) -> None:
        """Say what is in FOLDER, verify all of it, and draw its numbers.

        Of many items the lowest and the highest of each run are drawn, so that no
        peak is missed. The exit status is 1 where something is damaged. FOLDER can
        be recorded to meanwhile.
        """
        with one_line_errors():
            raise typer.Exit(show(folder, png))

    @app.command("tail")
    def tail_command(
        folder: Recording,
        lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many.")] = 10,
        follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it is recorded.")] = False,
    ) -> None:
        """Print the newest items of FOLDER, one a line, with commas between the fields.

        With -f it ends by Ctrl-C, or when nobody reads its output any more.
        """
        with one_line_errors():
            tail(folder, lines, follow)

    @app.command("export")
    def export_command(
        folder: Recording,
        to: Annotated[Path, typer.Argument(metavar="OUT", help="A .npy, .csv or .parquet file.")],
        force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
    ) -> None:
        """Write what is in FOLDER to a .npy, .csv or .parquet file.

        OUT is there when it is complete. In .csv and .parquet each field has a
        column, and so has each channel.
        """
        with one_line_errors():
            export_to(folder, to, force)

    app(prog_name="spill-ring")
