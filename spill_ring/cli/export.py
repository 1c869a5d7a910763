"""``spill-ring export``: write a recording as one file of another format."""
import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from numpy.typing import NDArray

from spill_ring.cli.arrow import arrays_of, fields_of
from spill_ring.cli.columns import MOST, columns_of, rows, width
from spill_ring.cli.files import refuse_existing, replaced
from spill_ring.cli.folder import FOLDER, RAW, open_log
from spill_ring.cli.progress import progress_bar
from spill_ring.cli.scan import scan
from spill_ring.cli.text import cell
from spill_ring.recording.layout import header_of, with_count
from spill_ring.recording.log import SpillLog


def export(
    folder: Annotated[Path, FOLDER],
    to: Annotated[Path, typer.Argument(metavar="OUT", help="A .npy, .csv or .parquet file.")],
    force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
    raw: Annotated[bool, RAW] = False,
) -> int:
    """Write what is in FOLDER to a .npy, .csv or .parquet file.

    OUT is there when it is complete. In .csv and .parquet each field has a
    column, and so has each channel. Strings in a .csv are escaped: a control
    character is written as \\x1b, and one that a spreadsheet would run as a
    formula has an apostrophe in front.
    """
    refuse_existing(to, force)
    log = open_log(folder)
    itemsize = 1 if log.dtype is None else log.dtype.itemsize
    with progress_bar(to.name, len(log) * itemsize, itemsize) as advance:
        export_log(log, to, advance, force=force, raw=raw)
    return 0


def export_log(
    log: SpillLog, to: Path, advance: Callable[[int], object], *, force: bool = True, raw: bool = False
) -> None:
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
    force : bool
        Write over a file that exists.
    raw : bool
        In ``.csv`` strings as they are, not escaped as `rows` does.

    Raises
    ------
    ValueError
        There is no such format, or the format can't hold such items; or the file exists.
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

    if to.suffix != ".npy" and (count := width(log.dtype)) > MOST:
        what = f"items of {count:,} columns, of which a {to.suffix} file gets {MOST:,} at most"
        raise ValueError(f"{log.path} has {what}; a .npy file holds them")

    def blocks() -> Iterator[NDArray[Any]]:
        for block in scan(log, log.first, log.end):
            yield block
            advance(block.nbytes)

    with replaced(to, force) as file:
        write(file, log, blocks(), raw)


def write_npy(file: BinaryIO, log: SpillLog, blocks: Iterator[NDArray[Any]], _: bool) -> None:
    """Write the items of a recording to a ``.npy`` file."""
    file.write(with_count(header_of(log.dtype), len(log)))
    for block in blocks:
        file.write(block.reshape(-1).view("u1").data)


def write_csv(file: BinaryIO, log: SpillLog, blocks: Iterator[NDArray[Any]], raw: bool) -> None:
    """Write the items of a recording to a ``.csv`` file."""
    assert log.dtype is not None
    names = [column.name for column in columns_of(log.dtype)]
    with io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names if raw else map(cell, names))
        for block in blocks:
            writer.writerows(rows(block, raw))


def write_parquet(file: BinaryIO, log: SpillLog, blocks: Iterator[NDArray[Any]], _: bool) -> None:
    """Write the items of a recording to a ``.parquet`` file."""
    import pyarrow
    import pyarrow.parquet

    assert log.dtype is not None
    schema = pyarrow.schema(fields_of(log.dtype))
    try:
        # Arrow can't open a file whose name isn't UTF-8, so it gets one that is open.
        with pyarrow.parquet.ParquetWriter(file, schema) as writer:
            for block in blocks:
                writer.write_table(pyarrow.table(arrays_of(block), schema))
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{log.path} holds items that a .parquet file can't hold: {error}") from None
