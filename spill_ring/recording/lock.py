"""`FileLock`: a lock on a file that the kernel releases as the process ends, and that no forked child shares.

It is a POSIX record lock, which belongs to the process alone. (A ``flock`` belongs to the open file, so a forked child
holds it too, and goes on holding it after its parent was killed.) The kernel knows two things about such a lock that a
caller doesn't expect, so they are dealt with here. It never refuses the process that has it: the set below does that.
And it goes as soon as the process closes the file anywhere, for instance after copying it: `hold` takes it again.
"""
import errno
import os
import threading
from typing import Any

from spill_ring.recording.files import open_regular

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None

_locked: set[tuple[int, int]] = set()  # the files that this process has locked, by device and number
_mutex = threading.RLock()  # of the set; the garbage collector may release a lock while another one is taken


def _forget() -> None:
    """A forked child has none of its parent's locks."""
    global _mutex
    _mutex = threading.RLock()
    _locked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class FileLock:
    """A lock on a file, which is made if it isn't there. In the file is the number of the process that locked it last.

    Parameters
    ----------
    path : str

    Raises
    ------
    BlockingIOError
        This process, or another one, has locked the file.
    DamagedError
        Something else than a file lies there.
    OSError
        The file can't be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with _mutex:
            if _identity(path) in _locked:  # It must not be opened: closing it would unlock it.
                self._raise_held(os.getpid())
            self._fd = open_regular(path, os.O_RDWR | os.O_CREAT)
            try:
                self.hold()
                os.ftruncate(self._fd, 0)
                os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)
                found = os.fstat(self._fd)
            except BaseException:
                os.close(self._fd)
                raise
            self._identity = found.st_dev, found.st_ino
            _locked.add(self._identity)

    def hold(self) -> None:
        """Take the lock; or, if this process lost it by closing the file elsewhere, take it again."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # POSIX allows either
            self._raise_held(int(os.pread(self._fd, 20, 0).strip() or b"0"))

    def _raise_held(self, process: int) -> None:
        raise BlockingIOError(
            errno.EAGAIN, f"process {process} writes to it; give each its own folder", os.path.dirname(self.path)
        ) from None

    def is_in_place(self) -> bool:
        """Is the locked file still the one of this name?"""
        return _identity(self.path) == self._identity

    def release(self) -> None:
        """Unlock the file. A forked child only forgets it."""
        with _mutex:
            _locked.discard(self._identity)
            os.close(self._fd)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
