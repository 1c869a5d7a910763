"""The progress bar that commands show while they work."""
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spill_ring.cli.text import printable


@contextmanager
def progress_bar(title: str, total: int | None, itemsize: int) -> Iterator[Callable[[int], object]]:
    """Show a progress bar where standard error is a terminal.

    Parameters
    ----------
    title : str
    total : int or None
        Bytes, or None where the total isn't known.
    itemsize : int
        Bytes of an item.

    Yields
    ------
    callable
        Advances the bar by a number of bytes.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[items]:,} items"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn() if total is None else TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=sys.stderr is None or not sys.stderr.isatty()) as bar:
        task = bar.add_task(printable(title), total=total, items=0)
        done = 0

        def advance(nbytes: int) -> None:
            nonlocal done
            done += nbytes
            bar.update(task, completed=done, items=done // itemsize)

        yield advance
