"""The command line, as a user runs it: real processes, real files, a real recording."""
import io
import os
import pty
import re
import resource
import select
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import pywt

from helpers.commands import COMMAND, PATIENCE, run, start, wait_for
from spill_ring import ArrayRing, ObjectRing
from spill_ring.cli import main
from spill_ring.cli.pump import pump
from spill_ring.cli.sources import Source
from spill_ring.sinks.npy import NpySink

pytestmark = [pytest.mark.not_sanitized, pytest.mark.thread_unsafe(reason="processes that write the same file")]

HEADER = 128  # bytes of a short one
record = partial(run, "record")


def summary(output):
    """The numbers of the summary."""
    lines = re.findall(r"^([a-z ]+?)  +([\d,]+)", output.decode(), re.MULTILINE)
    return {name: int(number.replace(",", "")) for name, number in lines}


def said(result):
    """The one line on standard error."""
    line, = result.stderr.decode().splitlines()
    return line


def same(path, expected):
    loaded = np.load(path)
    assert loaded.dtype == expected.dtype
    np.testing.assert_array_equal(loaded, expected, strict=True)


@pytest.fixture
def ecg(tmp_path):
    path = tmp_path / "ecg.npy"
    np.save(path, pywt.data.ecg())
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.npy"


# -- recording -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("capacity, warm", [(1, 1), (64, 256), (1024, 1), (4096, 65536)])
def test_every_sample_of_an_ecg_arrives(ecg, out, capacity, warm):
    result = record(ecg, "--capacity", capacity, "--warm", warm, "--to", out)
    assert (result.returncode, result.stderr) == (0, b"")
    same(out, pywt.data.ecg())
    hot = min(1024, capacity)
    still_warm = min(1024 - hot, warm)
    found = summary(result.stdout)
    assert found.pop("rate") > 0
    assert found == {"items in": 1024, "spilled": 1024 - hot - still_warm, "still warm": still_warm, "still hot": hot}


@pytest.mark.slow
def test_the_installed_command_is_the_same(ecg, out):
    script = os.path.join(os.path.dirname(sys.executable), "spill-ring")
    subprocess.run([script, "record", ecg, "--to", out], check=True, timeout=PATIENCE)
    same(out, pywt.data.ecg())


@pytest.mark.slow
def test_an_ecg_through_a_pipe(out):
    ecg = pywt.data.ecg()
    result = record("-", "--dtype", ecg.dtype.str, "--capacity", 10, "--warm", 100, "--to", out, input=ecg.tobytes())
    assert result.returncode == 0
    same(out, ecg)


@pytest.mark.slow
def test_more_than_a_block_through_a_pipe(out):
    # 3 bytes each, so that what the pipe gives at once mostly ends within an item
    items = np.arange(1_000_000, dtype="<u4").view("u1").reshape(-1, 4)[:, :3].copy().view("S3").ravel()
    result = record("-", "--dtype", "S3", "--capacity", 1000, "--warm", 3001, "--to", out, input=items.tobytes())
    assert result.returncode == 0
    assert summary(result.stdout)["spilled"] == 1_000_000 - 4001
    same(out, items)


RECORD = np.dtype([("at", "M8[us]"), ("µV", ">i2", (3,)), ("ok", "?")], align=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "items",
    [
        np.arange(24_000, dtype="f4").reshape(3000, 8),
        np.arange(24_000, dtype=">u2").reshape(1000, 4, 3, 2),
        np.arange(3000).astype("U7"),
        np.frombuffer(np.random.default_rng(1).bytes(RECORD.itemsize * 3000), RECORD),
        np.array([("é", 1), ("Ω", 2)], [("é", "U2"), ("Ω", "i1")]),
        np.zeros(0, "f4"),
        np.zeros((0, 8), "f4"),
        np.arange(5.0).reshape(5, 1),
        np.ones((2, 300_000)),
    ],
    ids=["frames", "nested", "text", "records", "Greek", "empty", "no frames", "one channel", "more than a block"],
)
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_items_of_any_kind(tmp_path, out, items):
    np.save(tmp_path / "in.npy", items)
    result = record(tmp_path / "in.npy", "--capacity", 5, "--warm", 50, "--to", out)
    assert result.returncode == 0, result.stderr
    assert summary(result.stdout)["items in"] == len(items)
    loaded = np.load(out)
    assert (loaded.dtype, loaded.shape, loaded.tobytes()) == (items.dtype, items.shape, items.tobytes())


@pytest.mark.slow
def test_frames_on_standard_input(out):
    frames = np.arange(800, dtype="f4").reshape(100, 8)
    result = record("-", "--dtype", "8f4", "--capacity", 7, "--warm", 11, "--to", out, input=frames.tobytes())
    assert result.returncode == 0
    same(out, frames)


@pytest.mark.slow
def test_nothing_on_standard_input(out):
    assert record("-", "--dtype", "f8", "--to", out, input=b"").returncode == 0
    same(out, np.zeros(0))


@pytest.mark.slow
def test_an_incomplete_item_is_dropped_and_named(out):
    result = record("-", "--dtype", "f8", "--to", out, input=np.arange(5.0).tobytes() + b"abc")
    assert result.returncode == 0
    assert said(result) == "spill-ring: dropped the last 3 bytes: an item has 8"
    same(out, np.arange(5.0))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_input(tmp_path, out):
    # The peak is that of all children, so each run gets a parent of its own.
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    peaks = []
    for count in (500_000, 50_000_000):  # 4 MB, 400 MB
        np.lib.format.open_memmap(tmp_path / "in.npy", "w+", "f8", (count,))[-1] = 1.0
        command = [*COMMAND, "record", tmp_path / "in.npy", "--to", out, "--force"]
        peaks.append(int(subprocess.check_output([sys.executable, "-P", "-c", script, *command], timeout=PATIENCE)))
        assert np.load(out, mmap_mode="r").shape == (count,)
        assert np.load(out, mmap_mode="r")[-1] == 1.0
    assert peaks[1] - peaks[0] < 4096, f"{peaks} KiB"


# -- the end comes early -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_on_a_slow_pipe_loses_nothing(out, signum):
    items = np.arange(1000, dtype="i4")
    with start("record", "-", "--dtype", "i4", "--capacity", 10, "--warm", 100, "--to", out) as process:
        for some in np.split(items, 50):
            process.stdin.write(some.tobytes())
        process.stdin.write(b"abc")
        wait_for(lambda: out.exists() and out.stat().st_size > HEADER)  # it spills, and didn't wait for a full block
        process.send_signal(signum)
        process.wait(PATIENCE)  # its input is still open
        assert process.returncode == 128 + signum
        assert process.stderr.read() == b"spill-ring: dropped the last 3 bytes: an item has 4\n"
        found = summary(process.stdout.read())
        assert (found["items in"], found["spilled"], found["still warm"], found["still hot"]) == (1000, 890, 100, 10)
    same(out, items)


def test_what_the_pipe_holds_at_the_signal_is_read():
    # In one process, so that both are there at once.
    (items, feed), (stop, ring_bell) = os.pipe(), os.pipe()
    os.write(feed, np.arange(10, dtype="i4").tobytes() + b"a")
    os.write(ring_bell, b"\x02")
    ring = ArrayRing(100, "i4")
    assert pump(Source("a pipe", items, ring.dtype, None), ring, ring.clear, stop, print) == (1, 2)
    np.testing.assert_array_equal(ring, np.arange(10))
    for fd in (items, feed, stop, ring_bell):
        os.close(fd)


@pytest.mark.slow
def test_a_signal_before_any_input(out):
    with start("record", "-", "--dtype", "i4", "--to", out) as process:
        wait_for(lambda: out.exists() and out.stat().st_size == HEADER)
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
        assert process.returncode == 130
        assert process.stderr.read() == b""
    same(out, np.zeros(0, "i4"))


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [1, 5, 20])
def test_a_signal_in_the_midst_of_writing(out, blocks):
    numbers = np.arange(200_000, dtype="i8").tobytes()
    with start("record", "-", "--dtype", "i8", "--capacity", 100, "--warm", 1000, "--to", out) as process:
        for _ in range(blocks):
            process.stdin.write(numbers)
        process.send_signal(signal.SIGINT)
        with pytest.raises(BrokenPipeError):  # a source that never ends
            while True:
                process.stdin.write(numbers)
        process.wait(PATIENCE)
        assert (process.returncode, process.stderr.read()) == (130, b"")
        found = summary(process.stdout.read())
    recorded = np.load(out)
    assert len(recorded) == found["items in"] == found["spilled"] + found["still warm"] + found["still hot"]
    np.testing.assert_array_equal(recorded, np.arange(len(recorded)) % 200_000)


@pytest.mark.slow
def test_the_file_can_be_read_meanwhile_and_after_a_kill(out):
    items = np.arange(1000, dtype="i4")
    with start("record", "-", "--dtype", "i4", "--capacity", 10, "--warm", 100, "--to", out) as process:
        def readable():
            process.stdin.write(items.tobytes())
            return out.exists() and out.stat().st_size > HEADER and len(np.load(out)) > 1000
        wait_for(readable)
        process.kill()
    recorded = np.load(out)
    np.testing.assert_array_equal(recorded, np.arange(len(recorded)) % 1000)


@pytest.mark.slow
@pytest.mark.parametrize("capacity, warm", [(10, 100), (10, 4000), (4000, 10), (5000, 5000)])
def test_a_full_disk_leaves_a_readable_prefix(tmp_path, out, capacity, warm):
    # Full in the middle of an item, with all of the rest in the rings or still to come.
    items = np.random.default_rng(2).random(5000)
    np.save(tmp_path / "in.npy", items)
    room = HEADER + 1000 * 8 + 5
    result = record(
        tmp_path / "in.npy", "--capacity", capacity, "--warm", warm, "--to", out,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )
    assert (result.returncode, result.stdout) == (1, b"")
    assert said(result) == f"spill-ring: {out}: File too large; {out} holds the first 1,000 items"
    same(out, items[:1000])


@pytest.mark.slow
def test_no_room_for_the_header(ecg, out):
    result = record(ecg, "--to", out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)))
    assert result.returncode == 1
    assert said(result) == f"spill-ring: {out}: File too large; {out} holds the first 0 items"


# -- the terminal --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_terminal_shows_progress_while_it_records(out):
    ours, theirs = pty.openpty()
    shown = b""
    items = np.arange(1000.0)
    env = os.environ | {"TERM": "xterm"}
    with start("record", "-", "--dtype", "f8", "--to", out, stderr=theirs, env=env) as process:
        os.close(theirs)
        process.stdin.write(items.tobytes())
        while b"8.0/? kB" not in shown:  # 8,000 bytes of who knows how many
            assert select.select([ours], [], [], PATIENCE)[0], shown
            shown += os.read(ours, 4096)
        assert process.poll() is None
        process.stdin.close()
        process.wait(PATIENCE)
        assert process.returncode == 0
        assert summary(process.stdout.read())["items in"] == 1000
    os.close(ours)
    assert b"out.npy" in shown
    same(out, items)


@pytest.mark.slow
def test_no_terminal_no_progress(ecg, out):
    result = record(ecg, "--to", out, env=os.environ | {"TERM": "xterm", "FORCE_COLOR": "1"})
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"\x1b" not in result.stdout


# -- misuse --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_that_exists_is_written_over_only_by_force(ecg, out):
    out.write_bytes(b"dear to me" * 1000)
    result = record(ecg, "--to", out)
    assert (result.returncode, said(result)) == (1, f"spill-ring: {out} exists; --force writes over it")
    assert out.read_bytes() == b"dear to me" * 1000
    assert record(ecg, "--to", out, "--force").returncode == 0
    same(out, pywt.data.ecg())
    assert out.stat().st_size == HEADER + pywt.data.ecg().nbytes


@pytest.mark.slow
@pytest.mark.parametrize("through", ["a link", "a redirection"])
def test_the_source_is_never_written_over(ecg, out, through):
    if through == "a redirection":
        with ecg.open("rb") as file:
            result = record("-", "--dtype", "i4", "--to", ecg, "--force", stdin=file)
    else:
        out.hardlink_to(ecg)
        result = record(out, "--to", ecg, "--force")
    assert (result.returncode, said(result)) == (1, f"spill-ring: {ecg} is the source")
    same(ecg, pywt.data.ecg())


BAD_FILES = {
    "objects.npy": lambda path: np.save(path, np.array([1, "a"], object), allow_pickle=True),
    "fortran.npy": lambda path: np.save(path, np.ones((3, 4), order="F")),
    "scalar.npy": lambda path: np.save(path, 1.0),
    "nothing.npy": lambda path: np.save(path, np.ones((3, 0))),
    "short.npy": lambda path: (np.save(path, np.ones(3)), os.truncate(path, 140)),
    "text.npy": lambda path: path.write_text("1 2 3"),
    "folder.npy": lambda path: path.mkdir(),
}


@pytest.mark.parametrize(
    "args, message",
    [
        (["objects.npy"], "objects.npy: Array can't be memory-mapped: Python objects in dtype."),
        (["fortran.npy"], "fortran.npy: the array is in Fortran order; save np.ascontiguousarray() of it"),
        (["scalar.npy"], "scalar.npy: a single value, not an array of items"),
        (["nothing.npy"], "has items of no size"),
        (["short.npy"], "short.npy: mmap length is greater than file"),
        (["text.npy"], "text.npy: EOF: reading magic string"),
        (["folder.npy"], "folder.npy: Is a directory"),
        (["none.npy"], "none.npy: No such file or directory"),
        (["ecg.npy", "--dtype", "f8"], "--dtype is for standard input and raw files; a .npy file knows its own"),
        (["ecg.npy", "--to", "out.npz"], "out.npz: what is written is a .npy file, or a folder"),
        (["-"], "standard input: raw items need their --dtype"),
        (["-", "--dtype", "f9"], "--dtype f9: data type 'f9' not understood"),
        (["-", "--dtype", "(2"], "--dtype (2: "),
        (["-", "--dtype", "O"], "holds references to Python objects"),
        (["ecg.npy", "--warm", str(1 << 60)], "more than this machine can address"),
    ],
    ids=str,
)
def test_bad_input_is_one_clear_line(tmp_path, monkeypatch, ecg, out, args, message):
    for name, make in BAD_FILES.items():
        make(tmp_path / name)
    out.write_bytes(b"dear to me")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["spill-ring", "record", "--to", str(out), "--force", *args])
    with pytest.raises(SystemExit, match=f"^spill-ring: .*{re.escape(message)}.*$"):  # printed, with status 1
        main()
    assert out.read_bytes() == b"dear to me"
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.slow
@pytest.mark.parametrize("option, value", [("--capacity", "0"), ("--warm", "-1"), ("--warm", "many")])
def test_a_bad_capacity(ecg, out, option, value):
    result = record(ecg, "--to", out, option, value)
    assert result.returncode == 2
    assert option in result.stderr.decode()
    assert not out.exists()


@pytest.mark.slow
def test_a_folder_that_is_not_there(ecg, tmp_path):
    out = tmp_path / "none" / "out.npy"
    result = record(ecg, "--to", out)
    assert (result.returncode, said(result)) == (1, f"spill-ring: {out}: No such file or directory")


def test_without_the_extra_it_says_what_to_install():
    script = "import sys; sys.modules['typer'] = None; from spill_ring.cli import main; main()"
    result = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, timeout=PATIENCE, check=False)
    assert result.returncode == 1
    assert said(result).endswith("pip install 'spill_ring[cli]'")


@pytest.mark.slow
def test_the_package_needs_neither_typer_nor_rich():
    script = "import spill_ring, spill_ring.cli, sys; assert not {'typer', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", script], check=True, timeout=PATIENCE)


# -- the sink ------------------------------------------------------------------------------------


@pytest.mark.parametrize("buffering", [0, -1])
def test_the_file_is_valid_after_every_flush(out, buffering):
    with open(out, "wb", buffering=buffering) as file:
        ring = ArrayRing(3, ("i2", (2,)), sink=NpySink(file))
        for i in range(25):
            ring.extend(np.full((i, 2), i))
            ring.flush()
            same(out, np.repeat(np.arange(i + 1, dtype="i2"), range(i + 1))[:, None].repeat(2, axis=1))
        ring.close()
        assert not file.closed


class Small(io.BytesIO):
    """A disk of so many bytes."""

    room = 0

    def write(self, data):
        fits = max(0, min(len(data), self.room - self.tell()))
        if not fits:
            raise OSError("full")
        return super().write(data[:fits])


def test_what_did_not_fit_is_written_once_there_is_room():
    disk = Small()
    disk.room = HEADER + 10
    sink = NpySink(disk)
    ring = ArrayRing(2, "i4", sink=sink)
    with pytest.raises(OSError, match="full"):
        ring.extend([1, 2, 3, 4, 5, 6, 7])
    pushed = ring.stats.pushed
    with pytest.raises(OSError, match="full"):
        sink.flush()
    assert sink.count == 2  # and half of the third
    np.testing.assert_array_equal(np.load(io.BytesIO(disk.getvalue())), [1, 2])
    disk.room = 1000
    ring.extend([1, 2, 3, 4, 5, 6, 7][pushed:])
    ring.close()
    assert sink.count == 7
    np.testing.assert_array_equal(np.load(io.BytesIO(disk.getvalue())), [1, 2, 3, 4, 5, 6, 7])


def test_it_can_be_sent_to_without_a_ring():
    file = io.BytesIO()
    with NpySink(file) as sink:
        sink.send(np.ones((2, 3)))
        sink.send(np.zeros((1, 3)))
    np.testing.assert_array_equal(np.load(io.BytesIO(file.getvalue())), [[1, 1, 1], [1, 1, 1], [0, 0, 0]])


def test_it_refuses_objects_and_files_that_cannot_seek():
    with pytest.raises(TypeError, match="typed items"):
        ObjectRing(2, sink=NpySink(io.BytesIO()))
    end, start = os.pipe()
    with open(end), open(start, "wb", buffering=0) as pipe, pytest.raises(OSError, match="seek"):
        ArrayRing(2, sink=NpySink(pipe))


@pytest.mark.slow
def test_standard_input_that_is_closed(out):
    result = subprocess.run(
        ["bash", "-c", 'exec "$@" <&-', "bash", *COMMAND, "record", "-", "--dtype", "f8", "--to", out],
        capture_output=True, timeout=PATIENCE, check=False,
    )
    assert (result.returncode, said(result)) == (1, "spill-ring: standard input is closed")


@pytest.mark.slow
def test_standard_error_that_is_closed(ecg, out):
    command = ["bash", "-c", 'exec "$@" 2>&-', "bash", *COMMAND, "record", ecg, "--to", out]
    subprocess.run(command, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)
    same(out, pywt.data.ecg())


@pytest.mark.slow
def test_standard_output_that_is_full(ecg, out):
    with open("/dev/full", "wb") as full:
        result = record(ecg, "--to", out, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert said(result).startswith(f"spill-ring: {out} is complete")
    same(out, pywt.data.ecg())
