"""Opens the files of a recording. Their folder may be somebody else's, so nothing but a regular file is opened."""
import errno
import os
import stat
from contextlib import suppress

_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"))
_READ_ERRORS = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENXIO, errno.ENODEV)  # of a disk, or of a network
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFDIR: "a directory",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class DamagedError(ValueError):
    """A part of a recording is not what was written. Items that the error doesn't name can still be read.

    Attributes
    ----------
    filename : str
        The damaged file.
    why : str
        What is wrong with it.
    first, last : int or None
        Sequence numbers of the items that can't be read because of it: ``first <= n < last``.

    Notes
    -----
    **Thread safety.** Like any exception.
    """

    def __init__(self, path: str, why: str, first: int | None = None, last: int | None = None) -> None:
        where = "" if first is None else f" (items {first} to {last})"
        super().__init__(f"{path} is damaged: {why}{where}")
        self.filename, self.why, self.first, self.last = path, why, first, last


def open_regular(path: str, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
    """Open a regular file, which `flags` may ask to create: a file descriptor, as from `os.open`.

    No link is followed, no FIFO is waited for, and no device is opened. To empty the file, use `os.ftruncate`: with
    ``O_TRUNC`` it would be emptied before anybody knows what it is.

    Raises
    ------
    DamagedError
        Something else lies there, or the disk can't be read.
    OSError
        The file can't be opened. It is missing, for example.
    """
    try:
        with suppress(FileNotFoundError):
            _raise_unless_regular(path, os.lstat(path).st_mode)  # Opening a device can have an effect of its own.
        fd = os.open(path, flags | _FLAGS, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:  # It has become a link since then.
            raise DamagedError(path, "it is a symbolic link, and should be a file") from None
        if error.errno in _READ_ERRORS:
            raise unreadable(path, error) from error
        raise
    try:
        _raise_unless_regular(path, os.fstat(fd).st_mode)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _raise_unless_regular(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise DamagedError(path, f"it is {_KINDS.get(stat.S_IFMT(mode), 'no file')}, and should be a file")


def unreadable(
    path: str, error: OSError, what: str = "it", first: int | None = None, last: int | None = None
) -> DamagedError:
    """The error that says that a part of a file can't be read."""
    return DamagedError(path, f"{what} can't be read: {error.strerror or error}", first, last)


def is_regular(path: str) -> bool:
    """Does a regular file lie there? A link is none."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
