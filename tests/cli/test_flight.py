"""The flight recorder, as a user runs it: recorded, killed, gone on with, shown."""
import contextlib
import os
import pickle
import random
import re
import resource
import select
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import spill_ring
from helpers.commands import PATIENCE, run, start, wait_for
from spill_ring import ArrayRing, DiskSink, ObjectRing, SpillLog
from spill_ring.cli.app import main
from spill_ring.cli.show import show
from spill_ring.cli.sources import SYSTEM

pytestmark = [pytest.mark.not_sanitized, pytest.mark.thread_unsafe(reason="processes that write the same folder")]
for module in ("typer", "rich", "psutil", "plotext"):
    pytest.importorskip(module, reason="no wheel of it here")


def numbers(start, stop):
    return np.arange(start, stop, dtype="i8")


def recorded(folder):
    """What is there, found right; None: nothing yet."""
    try:
        log = SpillLog(folder)
    except FileNotFoundError:
        return None
    assert log.verify() == []
    return log


def end_of(folder):
    log = recorded(folder)
    return 0 if log is None else log.end


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "flight"


@pytest.fixture
def recording(folder):
    with ArrayRing(1, "i8", DiskSink(folder)) as ring:
        for n in range(10):
            ring.extend(numbers(100 * n, 100 * n + 100))
    return folder


# -- record --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_this_machine_is_recorded_and_gone_on_with(folder):
    args = ("record", "system", "--rate", 100, "--seconds", 0.2, "--to", folder)
    ends = []
    for _ in range(2):
        result = run(*args)
        assert (result.returncode, result.stderr) == (0, b"")
        log = SpillLog(folder)
        assert re.search(rb"^items in +%d$" % (log.end - sum(ends)), result.stdout, re.M)
        assert result.stdout.endswith(b"MB/s\n")
        ends.append(log.end)
    assert log.dtype == SYSTEM
    assert 0 < ends[0] < ends[1]
    assert (log[1:]["time"] > log[:-1]["time"]).all()
    assert log.verify() == []


@pytest.mark.slow
def test_a_file_goes_into_a_folder(tmp_path, folder):
    frames = np.arange(300_000, dtype="f4").reshape(-1, 3)
    np.save(tmp_path / "in.npy", frames)
    assert run("record", tmp_path / "in.npy", "--to", folder, "--capacity", 100, "--warm", 1000).returncode == 0
    np.testing.assert_array_equal(SpillLog(folder)[:], frames, strict=True)


# Starts a recorder for each line that it reads, and says its process id. The first, which imports what takes
# long, is no process of its own.
MANY = """
import contextlib, io, os, sys
from spill_ring.cli import main
script, warm, *options = sys.argv
sys.argv = [script, "record", "/dev/null", "--dtype", "i8", "--to", warm]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main()
sys.argv = [script, *options]
for _ in sys.stdin:
    if not (pid := os.fork()):
        main()
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("ended", flush=True)
"""


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path, folder):
    """What a reader saw is there each time, in order, and the next run goes on."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    args = ("record", pipe, "--dtype", "i8", "--capacity", 16, "--warm", 100, "--to", folder, "--keep-bytes", 10**9)
    moments = random.Random(5)
    ends = []
    command = [sys.executable, "-P", "-c", MANY, tmp_path / "warm", *map(str, args)]
    pipes = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE)
    with subprocess.Popen(command, bufsize=0, **pipes) as many:
        for n in range(16):
            first = at = seen = end_of(folder)
            many.stdin.write(b"\n")
            process = int(many.stdout.readline())
            feed = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
            # Every other one in its beginning, the others once they are at work.
            until = time.monotonic() + moments.uniform(0, 0.1) if n % 2 else None
            while until is None or time.monotonic() < until:
                with contextlib.suppress(BlockingIOError):
                    os.write(feed, numbers(at, at + 500).tobytes())  # all of it, or nothing
                    at += 500
                with contextlib.suppress(FileNotFoundError):
                    seen = SpillLog(folder).end
                if until is None and seen > first:
                    until = time.monotonic() + moments.uniform(0, 0.03)
                time.sleep(0.001)
            os.kill(process, signal.SIGKILL)
            assert many.stdout.readline() == b"ended\n"
            os.close(feed)  # and what nobody read is gone
            if (log := recorded(folder)) is not None:
                assert seen <= log.end <= at
                ends.append(log.end)
        many.stdin.close()
        assert re.fullmatch(rb"(spill-ring: [^\n]*cut off[^\n]*\n)*", many.stderr.read())
    assert len(set(ends)) >= 8
    np.testing.assert_array_equal(log[:], numbers(0, ends[-1]))


@pytest.mark.slow
def test_what_the_rings_hold_is_handed_over_each_second(folder):
    with start("record", "-", "--dtype", "i8", "--to", folder) as process:
        process.stdin.write(numbers(0, 10).tobytes())
        wait_for(lambda: end_of(folder) == 10)  # though the rings have room for more, and nothing more comes
        process.kill()
    np.testing.assert_array_equal(SpillLog(folder)[:], numbers(0, 10))


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_nothing_lost(folder, signum):
    with start("record", "-", "--dtype", "i8", "--to", folder, "--capacity", 10, "--warm", 10) as process:
        process.stdin.write(numbers(0, 1000).tobytes())
        wait_for(lambda: end_of(folder))  # it has begun
        process.stdin.write(numbers(1000, 1007).tobytes())
        process.send_signal(signum)
        process.wait(PATIENCE)
        assert process.returncode == 128 + signum
        assert process.stderr.read() == b""
        assert b"items in    1,007\n" in process.stdout.read()
    np.testing.assert_array_equal(SpillLog(folder)[:], numbers(0, 1007))


@pytest.mark.slow
def test_it_ends_by_itself_while_nothing_comes(folder):
    with start("record", "-", "--dtype", "i8", "--to", folder, "--seconds", 0.2) as process:
        process.stdin.write(numbers(0, 10).tobytes())
        assert process.wait(PATIENCE) == 0
    assert SpillLog(folder).end == 10


@pytest.mark.slow
def test_a_full_disk_ends_it_and_what_was_written_is_there(folder):
    args = ("record", "-", "--dtype", "i8", "--to", folder, "--capacity", 10, "--warm", 100)
    data = numbers(0, 40_000).tobytes()  # a pipe has room for some 8,000 at once
    full = run(*args, input=data, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)))
    assert (full.returncode, full.stdout) == (1, b"")
    log = SpillLog(folder)
    line, = full.stderr.decode().splitlines()
    assert line == f"spill-ring: {folder}: File too large; {folder} holds items 0 to {log.end:,}"
    assert log.end == (200_000 - 128) // 8  # all that had room
    assert log.verify() == []
    np.testing.assert_array_equal(log[:], numbers(0, log.end))
    assert run(*args, input=data[8 * log.end :]).returncode == 0  # there is room again
    np.testing.assert_array_equal(SpillLog(folder)[:], numbers(0, 40_000))


@pytest.mark.slow
def test_no_more_is_kept_than_asked_for(tmp_path, folder):
    np.save(tmp_path / "in.npy", numbers(0, 30_000))
    result = run("record", tmp_path / "in.npy", "--to", folder, "--keep-bytes", 100_000)
    assert result.returncode == 0
    log = SpillLog(folder)
    assert 50_000 < sum(path.stat().st_size for path in folder.iterdir()) <= 110_000  # the manifest and so on come atop
    assert b"holds items %s to 30,000" % format(log.first, ",").encode() in result.stdout
    np.testing.assert_array_equal(log[log.first :], numbers(log.first, 30_000))


@pytest.mark.slow
def test_a_block_that_was_not_complete_is_said_to_be_cut_off(recording):
    with open(recording / f"{0:020d}.npy", "ab") as file:
        file.write(b"torn")
    result = run("record", "-", "--dtype", "i8", "--to", recording, input=numbers(1000, 1010).tobytes())
    line, = result.stderr.decode().splitlines()
    assert re.fullmatch(r"spill-ring: .*cut off 4 bytes behind item 1000.*", line)
    np.testing.assert_array_equal(SpillLog(recording)[:], numbers(0, 1010))


@pytest.mark.slow
def test_a_folder_that_is_written_to_already(recording):
    with DiskSink(recording):
        result = run("record", "-", "--dtype", "i8", "--to", recording, input=b"")
    assert result.returncode == 1
    line, = result.stderr.decode().splitlines()
    assert line == f"spill-ring: {recording}: process {os.getpid()} writes to it; give each its own folder"


@pytest.mark.slow
@pytest.mark.parametrize(
    "args, message",
    [
        (["record", "in.npy", "--to", "flight"], "holds items of dtype('int64'), so it can't go on with"),
        (["record", "in.npy", "--to", "flight", "--force"], "--force is for a .npy file; a recording"),
        (["record", "in.npy", "--to", "in.npy", "--keep-bytes", "9"], "--keep-bytes is for a folder"),
        (["record", "in.npy", "--to", "new", "--keep-bytes", "2"], "at least 32768 for items of 8 bytes, not 2"),
        (["record", "wide.npy", "--to", "new", "--keep-bytes", "60000"], "at least 64000 for items of 8000 bytes"),
        (["record", "z.npz", "--to", "new"], "z.npz: several arrays in one file can't be recorded; save the one"),
        (["record", "in.npy", "--to", "out.csv"], "a .npy file, or a folder; export makes"),
        (["record", "in.npy", "--to", "."], "is no recording, and not empty"),
        (["record", "in.npy", "--to", "file"], "file: Not a directory"),
        (["show", "."], "holds no recording"),
        (["show", "in.npy"], "in.npy: is a file; a recording is a folder"),
        (["tail", "none"], "holds no recording"),
        (["tail", "pickled"], "by encoder 'pickle', which takes Python to read"),
        (["export", "flight", "in.npy"], "in.npy exists; --force writes over it"),
        (["export", "flight", "in.txt"], "in.txt: what is written is a .npy, a .csv or a .parquet file"),
        (["export", "flight", "none/out.npy"], "none/out.npy: No such file or directory"),
    ],
    ids=lambda args: " ".join(args) if isinstance(args, list) else "",
)
def test_bad_input_is_one_clear_line(tmp_path, monkeypatch, recording, args, message):
    np.save(tmp_path / "in.npy", np.ones(3))
    np.save(tmp_path / "wide.npy", np.ones((3, 1000)))
    np.savez(tmp_path / "z.npz", a=np.ones(3))
    (tmp_path / "file").write_bytes(b"dear to me")
    with ObjectRing(1, DiskSink(tmp_path / "pickled", encoder="pickle")) as ring:
        ring.push(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["spill-ring", *args])
    with pytest.raises(SystemExit, match=f"^spill-ring: .*{re.escape(message)}.*$"):
        main()
    assert (tmp_path / "file").read_bytes() == b"dear to me"
    assert not (tmp_path / "new").exists()
    np.testing.assert_array_equal(np.load(tmp_path / "in.npy"), np.ones(3))


# -- show ----------------------------------------------------------------------------------------


def test_show_says_what_is_there_and_draws_it(recording, capsys):
    assert show(recording, None) == 0
    said = capsys.readouterr().out
    for line in (r"items +1,000", r"of +int64", r"files +1 segment, [\d,]+ bytes", "verified +every item"):
        assert re.search(f"^{line}", said, re.M), said
    nbytes = sum(path.stat().st_size for path in recording.iterdir())
    assert f"{nbytes:,} bytes" in said
    assert re.search(r"^written +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d.\d{3} to .* UTC", said, re.M)
    assert len(re.findall("[\u2801-\u28ff]", said)) > 70
    assert "\x1b" not in said  # no terminal


@pytest.mark.slow
def test_show_draws_in_a_file(recording, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert show(recording, tmp_path / "a.png") == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert not re.search("[\u2801-\u28ff]", capsys.readouterr().out)


@pytest.mark.slow
def test_show_in_a_process_of_its_own(recording):
    result = run("show", recording)
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"1,000" in result.stdout


@pytest.mark.slow
def test_show_ends_quietly_when_nobody_reads(recording):
    with start("show", recording) as process:
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == b""


@pytest.mark.slow
def test_a_folder_whose_name_is_not_utf_8(tmp_path, recording):
    folder = os.fsencode(tmp_path) + b"/fl\xefght"
    os.rename(recording, folder)
    png, parquet, csv = (os.fsencode(tmp_path) + b"/\xff." + end for end in (b"png", b"parquet", b"csv"))
    commands = [("show",), ("show", "--png", png), ("export", parquet), ("export", csv), ("tail",)]
    for module in ("matplotlib", "pyarrow"):
        pytest.importorskip(module, reason="no wheel of it here")
    for command, *rest in commands:
        result = run(command, os.fsdecode(folder), *map(os.fsdecode, rest))
        assert (result.returncode, result.stderr) == (0, b""), command
        if command == "show":
            assert folder in b"".join(result.stdout.split())
    for path in (png, parquet, csv):
        assert os.path.getsize(path) > 1000
    result = run("record", "-", "--dtype", "i8", "--to", os.fsdecode(folder), input=numbers(1000, 1005).tobytes())
    assert (result.returncode, result.stderr) == (0, b"") and folder + b" holds items 0 to 1,005" in result.stdout


def test_show_finds_damage(recording, capsys):
    segment = recording / f"{0:020d}.npy"
    data = bytearray(segment.read_bytes())
    data[-250 * 8] ^= 1
    segment.write_bytes(data)
    assert show(recording, None) == 1
    damage, = SpillLog(recording).verify()
    assert damage.first <= 750 < damage.last
    said = "".join(capsys.readouterr().out.split())
    assert "DAMAGED" in said and f"(items{damage.first}to{damage.last})" in said
    assert re.search("[\u2801-\u28ff]", said)  # the rest is drawn


def test_show_of_what_can_not_be_read(recording, capsys):
    segment = recording / f"{0:020d}.npy"
    os.truncate(segment, 130)
    assert show(recording, None) == 1
    said = capsys.readouterr().out
    assert f"{segment.name}isdamaged:itendsafter130bytes(items0to1000)" in "".join(said.split())
    assert re.search(r"^written +\? to \? UTC", said, re.M)
    assert "no numbers to draw" in said and not re.search("[\u2801-\u28ff]", said)


def test_show_draws_what_is_left(tmp_path, folder, capsys):
    with ArrayRing(1, "i8", DiskSink(folder, segment_bytes=2000)) as ring:
        for n in range(0, 1000, 10):
            ring.extend(numbers(n, n + 10))
    first, second, *_ = sorted(folder.glob("*.npy"))
    first.unlink()
    os.truncate(second, 1000)
    assert show(folder, None) == 1
    said = capsys.readouterr().out
    for path in (first, second):
        assert path.name in "".join(said.split())
    assert re.search(r"^written +\? to \d{4}-.* UTC", said, re.M) and re.search("[\u2801-\u28ff]", said)


class Malicious:
    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def test_show_counts_objects_and_runs_nothing(folder, capsys):
    with ObjectRing(1, DiskSink(folder, encoder="pickle")) as ring:
        ring.extend([1, Malicious(), 3])
    with pytest.raises(SystemExit, match="unpickled"):
        pickle.loads(pickle.dumps(Malicious()))
    assert show(folder, None) == 0
    said = capsys.readouterr().out
    assert re.search("^items +3", said, re.M) and re.search("^of +objects", said, re.M)


def test_show_of_what_has_no_items_and_no_numbers(tmp_path, capsys):
    with ArrayRing(1, "i8", DiskSink(tmp_path / "empty")):
        pass
    with ArrayRing(1, "S5", DiskSink(tmp_path / "text")) as ring:
        ring.push(b"abc")
    assert show(tmp_path / "empty", None) == 0
    assert re.search("^items +0", capsys.readouterr().out, re.M)
    assert show(tmp_path / "text", None) == 0
    assert "no numbers to draw" in capsys.readouterr().out


# -- tail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 10, 150, 5000])
def test_tail(recording, monkeypatch, capsys, count):
    monkeypatch.setattr(sys, "argv", ["spill-ring", "tail", "-n", str(count), str(recording)])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    assert capsys.readouterr().out == "".join(f"{n}\n" for n in range(max(1000 - count, 0), 1000))


def test_tail_of_records_and_objects(tmp_path, monkeypatch, capsys):
    dtype = [("time", "M8[us]"), ("x", "f4"), ("y", "i2", (2,))]
    with ArrayRing(1, dtype, DiskSink(tmp_path / "records")) as ring:
        ring.push(("2026-11-26T12:00", 0.1, [1, 2]))
    with ObjectRing(1, DiskSink(tmp_path / "objects")) as ring:
        ring.extend(["one\nline", b"\xff"])
    lines = {"records": "2026-11-26T12:00:00.000000,0.1,1,2\n", "objects": "'one\\nline'\nb'\\xff'\n"}
    for name, expected in lines.items():
        monkeypatch.setattr(sys, "argv", ["spill-ring", "tail", str(tmp_path / name)])
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
        assert capsys.readouterr().out == expected


def read_lines(process, count):
    """So many lines, as they come, or a few more."""
    found = b""
    while found.count(b"\n") < count or not found.endswith(b"\n"):
        poll = select.poll()  # and not select, which takes no descriptor above 1,023
        poll.register(process.stdout, select.POLLIN)
        assert poll.poll(PATIENCE * 1000), found
        found += os.read(process.stdout.fileno(), 4096)
    return [int(line) for line in found.split()]


@pytest.mark.slow
def test_tail_follows_until_ctrl_c(recording):
    with start("tail", "-f", "-n", 3, recording) as process:
        assert read_lines(process, 3) == [997, 998, 999]
        with ArrayRing(1, "i8", DiskSink(recording)) as ring:
            ring.extend(numbers(1000, 1005))
            assert read_lines(process, 4) == [1000, 1001, 1002, 1003]
        assert read_lines(process, 1) == [1004]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


@pytest.mark.slow
def test_tail_follows_until_nobody_reads(recording):
    with start("tail", "-f", "-n", 3, recording) as process:
        assert read_lines(process, 3) == [997, 998, 999]
        process.stdout.close()
        assert process.wait(PATIENCE) == 0  # though nothing new comes
        assert process.stderr.read() == b""


@pytest.mark.slow
def test_tail_ends_in_the_midst_when_nobody_reads(folder):
    with ArrayRing(1, "i8", DiskSink(folder)) as ring:
        ring.extend(numbers(0, 100_000))
    with start("tail", "-n", 100_000, folder) as process:  # more than the pipe holds
        assert read_lines(process, 10)[:10] == list(range(10))
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == b""


@pytest.mark.slow
def test_tail_says_what_it_missed(folder, monkeypatch, capsys):
    """Items that were removed before they could be read."""
    with ArrayRing(1, "i8", DiskSink(folder, segment_bytes=1000, keep_bytes=2000)) as ring:
        ring.extend(numbers(0, 10))
        process = start("tail", "-f", "-n", 1, folder)
        assert read_lines(process, 1) == [8]
        process.send_signal(signal.SIGSTOP)
        for n in range(10, 1000, 10):
            ring.extend(numbers(n, n + 10))
        process.send_signal(signal.SIGCONT)
        first = SpillLog(folder).first
        lines = read_lines(process, 998 - first + 1)
        assert lines == list(range(first, 999))
        process.terminate()
        process.wait(PATIENCE)
    assert re.fullmatch(rb"spill-ring: items 9 to \d+ were removed; the first is %d\n" % first, process.stderr.read())
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


# -- export --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_export(recording, tmp_path):
    result = run("export", recording, tmp_path / "out.npy")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), numbers(0, 1000), strict=True)
    (tmp_path / "out.csv").write_bytes(b"dear to me")
    assert run("export", recording, tmp_path / "out.csv", "--force").returncode == 0
    assert (tmp_path / "out.csv").read_text() == "value\n" + "".join(f"{n}\n" for n in range(1000))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.npy", "out.csv", "out.parquet", "out.png"])
def test_a_full_disk_is_named_and_leaves_what_was_there(tmp_path, recording, name):
    for module in ("matplotlib", "pyarrow"):
        pytest.importorskip(module, reason="no wheel of it here")
    out = tmp_path / name
    out.write_bytes(b"dear to me")
    args = ("show", recording, "--png", out) if name == "out.png" else ("export", recording, out, "--force")
    result = run(*args, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)))
    assert (result.returncode, result.stderr.decode()) == (1, f"spill-ring: {out}: File too large\n")
    assert [path.name for path in tmp_path.glob("out*")] == [name] and out.read_bytes() == b"dear to me"


@pytest.mark.parametrize("module, extra, args", [
    ("plotext", "cli", ["show", "flight"]),
    ("matplotlib", "plot", ["show", "flight", "--png", "a.png"]),
    ("pyarrow", "parquet", ["export", "flight", "a.parquet"]),
    ("psutil", "cli", ["record", "system", "--to", "other"]),
])
def test_what_is_not_installed_is_named(tmp_path, monkeypatch, recording, module, extra, args):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(sys, "argv", ["spill-ring", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == f"spill-ring: this needs {module}: pip install 'spill_ring[{extra}]'"
    assert not {"other", "a.png", "a.parquet", "a.parquet.part"} & set(os.listdir())


def test_version():
    result = run("--version")
    assert (result.returncode, result.stdout.decode()) == (0, f"spill-ring {spill_ring.__version__}\n")


@pytest.mark.parametrize("command", ["record", "show", "tail", "export"])
def test_help(monkeypatch, capsys, command):
    monkeypatch.setattr(sys, "argv", ["spill-ring", command, "--help"])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    said = capsys.readouterr().out
    assert f"spill-ring {command}" in said
    assert "--help" in said
