"""One process writes to a folder: the lock ends with it, whoever else lives on."""
import os
import shutil
import signal
import subprocess

import pytest

from helpers.children import command
from helpers.forks import forked
from helpers.recordings import numbers, read_all
from spill_ring import DiskSink
from spill_ring.recording.lock import FileLock

pytestmark = [pytest.mark.not_sanitized, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.mark.parametrize("how", ["fork", "fork in C"])
def test_a_forked_child_that_lives_on_does_not_keep_the_lock(tmp_path, how):
    with subprocess.Popen(command("recording/fork_and_record", tmp_path, how), stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        try:
            with pytest.raises(BlockingIOError, match=f"process {parent.pid} writes to it"):
                DiskSink(tmp_path)
            parent.kill()
            parent.wait()
            with DiskSink(tmp_path) as sink:
                sink.send(numbers(10, 20))
        finally:
            os.kill(child, signal.SIGKILL)
    assert (read_all(tmp_path) == numbers(20)).all()


def check_locked(path):
    with pytest.raises(BlockingIOError, match="writes to it"):
        FileLock(str(path))


def test_a_forked_child_is_refused_and_may_lock_another_file(tmp_path):
    lock = FileLock(str(tmp_path / "a"))

    def check():
        with pytest.raises(BlockingIOError, match=f"process {os.getppid()} writes to it"):
            FileLock(str(tmp_path / "a"))
        FileLock(str(tmp_path / "b")).release()
        lock.release()
        with pytest.raises(BlockingIOError):
            FileLock(str(tmp_path / "a"))

    forked(check)
    with pytest.raises(BlockingIOError, match=f"process {os.getpid()} writes to it"):
        FileLock(str(tmp_path / "a"))
    forked(lambda: check_locked(tmp_path / "a"))
    lock.release()
    forked(lambda: FileLock(str(tmp_path / "a")))
    FileLock(str(tmp_path / "a")).release()


def test_after_a_copy_by_the_same_process_the_next_sync_locks_the_folder_again(tmp_path):
    """The kernel unlocks a file that its process closes."""
    with DiskSink(tmp_path / "log", sync="never") as sink:
        sink.send(numbers(10))
        shutil.copytree(tmp_path / "log", tmp_path / "copy")
        sink.flush()
        forked(lambda: check_locked(tmp_path / "log" / "lock"))
        sink.send(numbers(10, 20))
    assert (read_all(tmp_path / "log") == numbers(20)).all()
