"""What lies in the folder of a recording is opened only if it is a regular file."""
import os
import socket

import pytest

from spill_ring import DamagedError
from spill_ring.recording.files import open_regular


def make(kind, path):
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    elif kind == "symbolic link":
        (path.parent / "target").write_bytes(b"the target")
        path.symlink_to(path.parent / "target")
    elif kind == "dangling symbolic link":
        path.symlink_to(path.parent / "target")
    else:
        path.symlink_to("/dev/zero")


KINDS = ["FIFO", "directory", "socket", "symbolic link", "dangling symbolic link", "link to a device"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT])
def test_nothing_but_a_file_is_opened(tmp_path, monkeypatch, kind, flags):
    monkeypatch.chdir(tmp_path)  # The path of a socket is short.
    path = tmp_path / "x"
    make(kind, path)
    with pytest.raises(DamagedError, match="and should be a file") as caught:
        open_regular(str(path), flags)
    assert caught.value.filename == str(path)
    target = tmp_path / "target"
    assert not target.exists() or target.read_bytes() == b"the target"


def test_a_device_is_not_opened():
    with pytest.raises(DamagedError, match="it is a device"):
        open_regular("/dev/zero")


def test_it_becomes_a_link_between_two_looks(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"1")
    kind = os.lstat(path)
    path.unlink()
    path.symlink_to(tmp_path / "target")
    monkeypatch.setattr(os, "lstat", lambda path: kind)
    with pytest.raises(DamagedError, match="symbolic link"):
        open_regular(str(path), os.O_RDWR | os.O_CREAT)
    assert not (tmp_path / "target").exists()


def test_a_file_is_opened_or_made(tmp_path):
    path = str(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        open_regular(path)
    fd = open_regular(path, os.O_RDWR | os.O_CREAT, 0o640)
    os.write(fd, b"1")
    assert not os.get_inheritable(fd)
    os.close(fd)
    assert os.stat(path).st_mode & 0o137 == 0
    fd = open_regular(path)
    assert os.read(fd, 2) == b"1"
    os.close(fd)
