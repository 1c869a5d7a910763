"""Files that the commands write: none is written over without --force, and none is left half written."""
import errno
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import BinaryIO

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # that ask for an end
NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)  # of file systems that have no hard links


def refuse_existing(path: Path, force: bool) -> None:
    """Raise ValueError if there is something at the path, and it is no file or the user didn't say --force."""
    if os.path.lexists(path) and not force:
        raise ValueError(f"{path} exists; --force writes over it")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no regular file, so nothing is written over it")


@contextmanager
def signals_raise() -> Iterator[None]:
    """Make each signal that asks for an end an exception, so that what stands in a `finally` happens."""
    def end(number: int, _: FrameType | None) -> None:
        for each in previous:
            signal.signal(each, signal.SIG_IGN)  # a second one would come in while the first is handled
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # as nohup asks for, and as C code may
                previous[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def replaced(path: Path, force: bool) -> Iterator[BinaryIO]:
    """Give a new file to write, which becomes the file at that path in the end.

    Until then it has a name that nobody can have given to a file of his own. After an exception it is removed.

    Raises
    ------
    ValueError
        There is something at the path, and it is no file or `force` is False; also when that came meanwhile.
    """
    refuse_existing(path, force)
    beside = path.with_name(f"{path.name[:50]}.{secrets.token_hex(8)}.part")
    with signals_raise():
        try:
            with open(beside, "xb") as file:
                yield file
            refuse_existing(path, force)
            _move(beside, path, force)
        except BaseException as error:
            if isinstance(error, OSError) and error.filename in (None, str(beside)):
                error.filename = str(path)
            raise
        finally:
            beside.unlink(missing_ok=True)


def _move(beside: Path, path: Path, force: bool) -> None:
    """Give a file its name; without `force` none that another file got at the same moment."""
    if not force:
        try:
            os.link(beside, path)
            return
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
    os.replace(beside, path)
