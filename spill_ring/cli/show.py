"""``spill-ring show``: describe a recording, verify it, and draw it."""
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from spill_ring.cli.folder import FOLDER
from spill_ring.cli.plot import envelope, to_png, to_terminal
from spill_ring.cli.progress import progress_bar
from spill_ring.cli.text import clipped, printable
from spill_ring.recording.files import DamagedError
from spill_ring.recording.folder import segments_in
from spill_ring.recording.layout import read_manifest
from spill_ring.recording.log import SpillLog

PNG_WIDTH = 1500  # runs of items in a picture
LISTED = 100  # fields, at most


@dataclass
class OpaqueEncoder:
    """Stands for an encoder where objects are only counted, so that no code runs that a stranger chose."""

    name: str

    def encode(self, value: Any) -> bytes:
        return bytes(value)

    def decode(self, data: bytes) -> bytes:
        return data


def show(
    folder: Annotated[Path, FOLDER],
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw in this file, not in the terminal.")] = None,
) -> int:
    """Say what is in FOLDER, verify all of it, and draw its numbers.

    Of many items the lowest and the highest of each run are drawn, so that no
    peak is missed. The exit status is 1 where something is damaged. FOLDER can
    be recorded to meanwhile.
    """
    from rich.table import Column, Table
    from rich.text import Text

    from spill_ring.cli.console import Output

    manifest = read_manifest(os.fsdecode(folder))
    encoder = None if manifest is None or manifest.encoder is None else OpaqueEncoder(manifest.encoder)
    log = SpillLog(folder, encoder=encoder)
    itemsize = log.dtype.itemsize if log.dtype is not None else 1
    with progress_bar(f"verifying {folder}", len(log) * itemsize, itemsize) as advance:
        damages = log.verify(lambda count: advance(count * itemsize))
    table = Table("", Column(overflow="fold"), show_header=False, box=None, padding=(0, 2, 0, 0))  # paths in full
    for name, value in describe(log, damages):
        table.add_row(name, Text("\n".join(value)))
    console = Output()
    console.print(table)

    if log.dtype is not None and len(log):
        with progress_bar(f"reading {folder}", len(log) * itemsize, itemsize) as advance:
            found = envelope(log, PNG_WIDTH if png else 2 * console.width, advance)
        if found.is_empty:
            console.print("no numbers to draw")
        elif png:
            name = os.fsencode(folder.resolve().name).decode(errors="replace")
            to_png(found, f"{name}: items {log.first:,} to {log.end:,}", png)
        else:
            console.print(Text.from_ansi(to_terminal(found, console.width)))
        if found.left_out:
            console.print(f"{found.left_out:,} more columns of numbers are not drawn", highlight=False)
    return 1 if damages else 0


def describe(log: SpillLog, damages: list[DamagedError]) -> Iterator[tuple[str, list[str]]]:
    """The lines that `show` prints about a recording, each with its title."""
    segments = segments_in(log.path, log.dtype)
    nbytes = 0
    with os.scandir(log.path) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # keep_bytes has removed it
                nbytes += entry.stat(follow_symlinks=False).st_size
    yield "recording", [printable(log.path)]
    yield "items", [f"{len(log):,}" + (f", {log.first:,} to {log.end:,}" if log.first else "")]
    yield "of", of(log.dtype)
    yield "files", [f"{len(segments):,} segment{'s' * (len(segments) != 1)}, {nbytes:,} bytes"]
    if times := first_and_last_time(log):
        begin, end = ("?" if np.isnat(t) else str(np.datetime_as_string(t, "ms")).replace("T", " ") for t in times)
        yield "written", [f"{begin} to {end} UTC"]
    if damages:
        yield "DAMAGED", [printable(str(damage)) for damage in damages]
    else:
        yield "verified", ["every item is what was written"]


def of(dtype: np.dtype[Any] | None) -> list[str]:
    """What the items are."""
    if dtype is None:
        return ["objects"]
    if dtype.names is None:
        return [clipped(str(dtype))]
    lines = [f"{clipped(name)}  {clipped(str(dtype[name]))}" for name in dtype.names[:LISTED]]
    left_out = len(dtype.names) - len(lines)
    return lines + [f"and {left_out:,} fields more"] * (left_out > 0)


def first_and_last_time(log: SpillLog) -> list[np.datetime64]:
    """When the first and the last item were written; NaT where that is damaged, nothing if there are no items."""
    while len(log):
        try:
            return [log.times(n, n + 1)[0] for n in (log.first, log.end - 1)]
        except IndexError:  # keep_bytes has removed it
            log.refresh()
    return []
