"""Files that the commands write: none is written over without --force, and none is left half written."""
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def refuse_existing(path: Path, force: bool) -> None:
    """Raise ValueError if the file exists and the user didn't say --force."""
    if path.exists() and not force:
        raise ValueError(f"{path} exists; --force writes over it")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a path beside the file to write. At the end it becomes that file; after an exception it is removed."""
    beside = path.with_name(path.name + ".part")
    try:
        yield beside
        os.replace(beside, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:  # a failed write doesn't name its file
            error.filename = str(path)
        with suppress(FileNotFoundError):
            beside.unlink()
        raise
