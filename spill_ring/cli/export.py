"""A recording as one file of another format."""
import csv
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from spill_ring.cli.columns import columns, rows
from spill_ring.cli.scan import scan
from spill_ring.recording.layout import header_of, with_count
from spill_ring.recording.log import SpillLog


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path beside the file to write; it becomes that file at the end, and is removed where that isn't reached."""
    beside = path.with_name(path.name + ".part")
    try:
        yield beside
        os.replace(beside, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:  # of a write, which knows no name
            error.filename = str(path)
        with suppress(FileNotFoundError):
            beside.unlink()
        raise


def export(log: SpillLog, to: Path, advance: Callable[[int], object]) -> None:
    """Write what is in a recording to a file, in blocks.

    Parameters
    ----------
    log : SpillLog
        Of numbers, records, frames: not of objects.
    to : Path
        By its ending ``.npy``; ``.csv``, with a header and a column for each field, or each element of a sub-array;
        ``.parquet`` with the same columns. It is there when it is complete.
    advance : callable
        Told the bytes of the items that were written, each time.

    Raises
    ------
    ValueError
        There is no such format, or it has no such items.
    DamagedError
        An item can't be read; then no file is written.
    ModuleNotFoundError
        ``.parquet`` needs pyarrow.
    """
    write = {".npy": write_npy, ".csv": write_csv, ".parquet": write_parquet}.get(to.suffix)
    if write is None:
        raise ValueError(f"{to}: what is written is a .npy, a .csv or a .parquet file, so name it so")
    if log.dtype is None:
        raise ValueError(f"{log.path} holds objects, which no {to.suffix} file can: read them by SpillLog")

    def blocks() -> Iterator[np.ndarray]:
        for block in scan(log, log.first, log.end):
            yield block
            advance(block.nbytes)

    with replaced(to) as beside:
        write(beside, log, blocks())


def write_npy(path: Path, log: SpillLog, blocks: Iterator[np.ndarray]) -> None:
    with open(path, "wb") as file:
        file.write(with_count(header_of(log.dtype), len(log)))
        for block in blocks:
            file.write(block.reshape(-1).view("u1"))


def write_csv(path: Path, log: SpillLog, blocks: Iterator[np.ndarray]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns(np.empty(0, log.dtype)))
        for block in blocks:
            writer.writerows(rows(block))


def write_parquet(path: Path, log: SpillLog, blocks: Iterator[np.ndarray]) -> None:
    import pyarrow
    import pyarrow.parquet

    def table(block: np.ndarray) -> "pyarrow.Table":
        return pyarrow.table({name: column.astype(arrow(column.dtype)) for name, column in columns(block).items()})

    try:
        with (
            open(path, "wb") as file,  # Arrow takes no name that isn't UTF-8
            pyarrow.parquet.ParquetWriter(file, table(np.empty(0, log.dtype)).schema) as writer,
        ):
            for block in blocks:
                writer.write_table(table(block))
    except pyarrow.ArrowNotImplementedError as error:
        raise ValueError(f"{log.path} holds items that Arrow has no type for: {error}") from None


def arrow(dtype: np.dtype) -> np.dtype:
    """The dtype that Arrow reads: of native bytes, and of times in units, not in tens of them."""
    if dtype.kind in "mM":
        return np.dtype(f"{dtype.kind}8[{np.datetime_data(dtype)[0]}]")
    return dtype.newbyteorder("=")
