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
from spill_ring.recording.files import DamagedError
from spill_ring.recording.folder import segments_in
from spill_ring.recording.layout import read_manifest
from spill_ring.recording.log import SpillLog

PNG_WIDTH = 1500  # runs of items in a picture


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
        table.add_row(name, Text(value))
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
    return 1 if damages else 0


def describe(log: SpillLog, damages: list[DamagedError]) -> Iterator[tuple[str, str]]:
    """The lines that `show` prints about a recording, each with its title."""
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
    if times := first_and_last_time(log):
        begin, end = ("?" if np.isnat(t) else str(np.datetime_as_string(t, "ms")).replace("T", " ") for t in times)
        yield "written", f"{begin} to {end} UTC"
    if damages:
        yield "DAMAGED", "\n".join(map(str, damages))
    else:
        yield "verified", "every item is what was written"


def first_and_last_time(log: SpillLog) -> list[np.datetime64]:
    """When the first and the last item were written; NaT where that is damaged, nothing if there are no items."""
    while len(log):
        try:
            return [log.times(n, n + 1)[0] for n in (log.first, log.end - 1)]
        except IndexError:  # keep_bytes has removed it
            log.refresh()
    return []
