"""``spill-ring export``: write a recording as one file of another format."""
import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from spill_ring.cli.columns import columns, rows
from spill_ring.cli.files import refuse_existing, replaced
from spill_ring.cli.folder import FOLDER, open_log
from spill_ring.cli.progress import progress_bar
from spill_ring.cli.scan import scan
from spill_ring.recording.layout import header_of, with_count
from spill_ring.recording.log import SpillLog


def export(
    folder: Annotated[Path, FOLDER],
    to: Annotated[Path, typer.Argument(metavar="OUT", help="A .npy, .csv or .parquet file.")],
    force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
) -> int:
    """Write what is in FOLDER to a .npy, .csv or .parquet file.

    OUT is there when it is complete. In .csv and .parquet each field has a
    column, and so has each channel.
    """
    refuse_existing(to, force)
    log = open_log(folder)
    itemsize = 1 if log.dtype is None else log.dtype.itemsize
    with progress_bar(to.name, len(log) * itemsize, itemsize) as advance:
        export_log(log, to, advance)
    return 0


def export_log(log: SpillLog, to: Path, advance: Callable[[int], object]) -> None:
    """Write what is in a recording to a file, in blocks.

    Parameters
    ----------
    log : SpillLog
        A recording of numbers, records or frames, not of objects.
    to : Path
        Its ending says the format: ``.npy``; ``.csv``, with a header and a column for each field, or each element
        of a sub-array; ``.parquet`` with the same columns. The file is there when it is complete.
    advance : callable
        Called after each block with its size in bytes.

    Raises
    ------
    ValueError
        There is no such format, or the format can't hold such items.
    DamagedError
        An item can't be read; then no file is written.
    ModuleNotFoundError
        ``.parquet`` needs pyarrow.
    """
    write = {".npy": write_npy, ".csv": write_csv, ".parquet": write_parquet}.get(to.suffix)
    if write is None:
        raise ValueError(f"{to}: what is written is a .npy, a .csv or a .parquet file, so name it so")
    if log.dtype is None:
        raise ValueError(f"{log.path} holds objects, which a {to.suffix} file can't hold: read them by SpillLog")

    def blocks() -> Iterator[NDArray[Any]]:
        for block in scan(log, log.first, log.end):
            yield block
            advance(block.nbytes)

    with replaced(to) as beside:
        write(beside, log, blocks())


def write_npy(path: Path, log: SpillLog, blocks: Iterator[NDArray[Any]]) -> None:
    """Write the items of a recording to a ``.npy`` file."""
    with open(path, "wb") as file:
        file.write(with_count(header_of(log.dtype), len(log)))
        for block in blocks:
            file.write(block.reshape(-1).view("u1").data)


def write_csv(path: Path, log: SpillLog, blocks: Iterator[NDArray[Any]]) -> None:
    """Write the items of a recording to a ``.csv`` file."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns(np.empty(0, log.dtype)))
        for block in blocks:
            writer.writerows(rows(block))


def write_parquet(path: Path, log: SpillLog, blocks: Iterator[NDArray[Any]]) -> None:
    """Write the items of a recording to a ``.parquet`` file."""
    import pyarrow
    import pyarrow.parquet

    def table(block: NDArray[Any]) -> "pyarrow.Table":
        return pyarrow.table({name: column.astype(arrow(column.dtype)) for name, column in columns(block).items()})

    try:
        with (
            open(path, "wb") as file,  # Arrow can't open a file whose name isn't UTF-8
            pyarrow.parquet.ParquetWriter(file, table(np.empty(0, log.dtype)).schema) as writer,
        ):
            for block in blocks:
                writer.write_table(table(block))
    except pyarrow.ArrowNotImplementedError as error:
        raise ValueError(f"{log.path} holds items that Arrow has no type for: {error}") from None


def arrow(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that Arrow reads: with native byte order, and times in whole units, not in multiples of them."""
    if dtype.kind in "mM":
        return np.dtype(f"{dtype.kind}8[{np.datetime_data(dtype)[0]}]")
    return dtype.newbyteorder("=")
