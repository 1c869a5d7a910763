"""A recording as another file: the same items, and never half a file."""
import csv
import errno
import os
import signal
import stat

import numpy as np
import pytest

from helpers.commands import PATIENCE, start, wait_for
from helpers.kinds import KINDS
from spill_ring import ArrayRing, DamagedError, DiskSink, ObjectRing, SpillLog
from spill_ring.cli import scan
from spill_ring.cli.columns import columns, rows
from spill_ring.cli.export import export_log
from spill_ring.cli.files import SIGNALS, replaced

pytestmark = [pytest.mark.not_sanitized, pytest.mark.thread_unsafe(reason="writes files, and sets the size of a block")]

TYPED = [kind for kind in KINDS if kind.dtype is not None]
NESTED = np.dtype(
    [("t", "M8[ns]"), ("at", [("x", "f4"), ("y", ">i2", (2,))], (2,)), ("value", [("z", "S3")]), ("ok", "?")]
)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(scan, "BLOCK", 900)


def recording(folder, items):
    sink = DiskSink(folder, segment_bytes=3000, sync="never")
    with ArrayRing(7, np.dtype((items.dtype, items.shape[1:])), sink) as ring:
        for some in np.array_split(items, 5):
            ring.extend(some)
    return SpillLog(folder)


def exported(log, path):
    told = []
    export_log(log, path, told.append)
    assert sum(told) == len(log) * log.dtype.itemsize
    assert len(told) > 1
    assert [entry.name for entry in path.parent.glob(path.name + "*")] == [path.name]
    return path


@pytest.mark.parametrize("kind", TYPED, ids=lambda kind: kind.name)
def test_npy(tmp_path, small_blocks, kind):
    items = kind.block(range(1000))
    loaded = np.load(exported(recording(tmp_path / "log", items), tmp_path / "out.npy"))
    np.testing.assert_array_equal(loaded, items, strict=True)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", ">f4", "i8", "u1"])
def test_csv_reads_back_as_the_same_numbers(tmp_path, small_blocks, dtype):
    items = (np.random.default_rng(1).standard_normal(1000) * 50).astype(dtype)
    path = exported(recording(tmp_path / "log", items), tmp_path / "out.csv")
    loaded = np.loadtxt(path, skiprows=1, dtype=dtype)
    np.testing.assert_array_equal(loaded, items, strict=True)
    assert path.read_text().startswith("value\n")


def test_csv_of_records(tmp_path, small_blocks):
    items = np.zeros(100, NESTED)
    items["t"] = np.datetime64("2026-11-26T12:00:00.5", "ns") + np.arange(100)
    items["at"]["x"][:, 1] = np.arange(100) / 10
    items["at"]["y"][:, 1, 0] = np.arange(100) - 50
    items["value"]["z"] = 'a,"'
    items["ok"][3] = True
    path = exported(recording(tmp_path / "log", items), tmp_path / "out.csv")
    with open(path, newline="") as file:
        header, *found = csv.reader(file)
    assert ",".join(header) == "t,at[0].x,at[0].y[0],at[0].y[1],at[1].x,at[1].y[0],at[1].y[1],value.z,ok"
    assert len(found) == 100
    assert found[3] == ["2026-11-26T12:00:00.500000003", "0.0", "0", "0", "0.3", "-47", "0", 'a,"', "True"]


def test_texts():
    dtype = np.dtype([("d", "m8[s]"), ("t", "M8[s]"), ("v", "V2"), ("b", "S4"), ("c", "c8"), ("u", "U2")])
    items = np.array([(5, 0, b"\x01\xff", b"\xc3\xa9\xff", 0.1 + 2j, "é"), ("NaT", "NaT", b"", b"", 0, "")], dtype)
    assert rows(items) == [
        ("5", "1970-01-01T00:00:00", "01ff", "é\\xff", "(0.1+2j)", "é"), ("NaT", "NaT", "0000", "", "0j", ""),
    ]


def test_columns_are_views():
    items = np.zeros(10, NESTED)
    assert all(np.shares_memory(column, items) and column.shape == (10,) for column in columns(items).values())
    assert list(columns(np.zeros((4, 2, 2)))) == ["value[0,0]", "value[0,1]", "value[1,0]", "value[1,1]"]


@pytest.mark.parametrize("items", [
    np.random.default_rng(1).random(1000),
    np.arange(2000, dtype=">i2").reshape(-1, 2),
    np.arange(1000).astype("M8[10ms]"),
    np.array([(n, n / 3, b"%d" % n) for n in range(1000)], [("t", "M8[us]"), ("x", "f4"), ("s", "S4")]),
], ids=lambda items: str(items.dtype))
def test_parquet(tmp_path, small_blocks, items):
    parquet = pytest.importorskip("pyarrow.parquet", reason="no wheel of it here")
    path = exported(recording(tmp_path / "log", items), tmp_path / "out.parquet")
    table = parquet.read_table(path)
    assert table.column_names == list(columns(items))
    for name, column in columns(items).items():
        np.testing.assert_array_equal(table[name].to_numpy().astype(column.dtype), column)


def test_parquet_has_no_long_double(tmp_path):
    pytest.importorskip("pyarrow", reason="no wheel of it here")
    with pytest.raises(ValueError, match="Arrow has no type for"):
        export_log(recording(tmp_path / "log", np.ones(100, "G")), tmp_path / "out.parquet", int)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("name", ["out.npy", "out.csv"])
def test_nothing_recorded_yet(tmp_path, name):
    with DiskSink(tmp_path / "log") as sink, ArrayRing(1, "i4", sink):
        pass
    export_log(SpillLog(tmp_path / "log"), tmp_path / name, int)
    if name == "out.npy":
        np.testing.assert_array_equal(np.load(tmp_path / name), np.empty(0, "i4"), strict=True)
    else:
        assert (tmp_path / name).read_text() == "value\n"


def test_an_item_that_is_damaged_leaves_what_was_there(tmp_path, small_blocks):
    recording(tmp_path / "log", np.arange(1000.0))
    segment = sorted((tmp_path / "log").glob("*.npy"))[1]
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    segment.write_bytes(data)
    (tmp_path / "out.npy").write_bytes(b"dear to me")
    with pytest.raises(DamagedError):
        export_log(SpillLog(tmp_path / "log"), tmp_path / "out.npy", int)
    assert [path.name for path in tmp_path.glob("out*")] == ["out.npy"]
    assert (tmp_path / "out.npy").read_bytes() == b"dear to me"


def test_ctrl_c_leaves_no_half_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), replaced(tmp_path / "out.npy", force=False) as file:
        file.write(b"half of it")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_half_file(tmp_path, number):
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises((KeyboardInterrupt, SystemExit)) as ended, replaced(tmp_path / "out.npy", force=False) as file:
        file.write(b"half of it")
        for _ in range(3):  # the next ones come while it tidies up
            os.kill(os.getpid(), number)
    assert ended.type is KeyboardInterrupt or ended.value.code == 128 + number
    assert not list(tmp_path.iterdir())
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_nohup_is_heeded(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with replaced(tmp_path / "out.npy", force=False) as file:
            os.kill(os.getpid(), signal.SIGHUP)
            file.write(b"all of it")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (tmp_path / "out.npy").read_bytes() == b"all of it"


@pytest.mark.slow
def test_a_command_that_is_terminated_leaves_nothing(tmp_path):
    items = np.random.default_rng(1).random(1_000_000)
    with ArrayRing(1, "f8", DiskSink(tmp_path / "log", sync="never")) as ring:
        ring.extend(items)
    (tmp_path / "out.csv.part").write_bytes(b"dear to me")
    with start("export", tmp_path / "log", tmp_path / "out.csv") as process:
        wait_for(lambda: process.poll() is not None or len(list(tmp_path.glob("out*.part"))) > 1)
        process.terminate()
        process.wait(PATIENCE)
        assert process.returncode == 143
    assert {path.name for path in tmp_path.glob("out*")} == {"out.csv.part"}
    assert (tmp_path / "out.csv.part").read_bytes() == b"dear to me"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_meanwhile_is_not_written_over(tmp_path, monkeypatch, links):
    out = tmp_path / "out.npy"
    if not links:  # as on FAT
        def link(*_):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        monkeypatch.setattr(os, "link", link)
    with pytest.raises(ValueError, match="exists"), replaced(out, force=False) as file:
        file.write(b"mine")
        out.write_bytes(b"dear to me")
    assert [path.name for path in tmp_path.iterdir()] == ["out.npy"] and out.read_bytes() == b"dear to me"
    with replaced(out, force=True) as file:
        file.write(b"mine")
    assert [path.name for path in tmp_path.iterdir()] == ["out.npy"] and out.read_bytes() == b"mine"
    assert out.stat().st_mode & 0o777 == 0o666 & ~umask()


def umask():
    found = os.umask(0)
    os.umask(found)
    return found


ODD_FILES = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
    "a link to a folder": lambda path: path.symlink_to(path.parent),
    "a link to a device": lambda path: path.symlink_to("/dev/null"),
}


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("name", ODD_FILES)
def test_only_a_regular_file_is_written_over(tmp_path, name, force):
    out = tmp_path / "out.npy"
    ODD_FILES[name](out)
    before = out.lstat().st_ino
    with pytest.raises(ValueError, match="no regular file" if force else "exists"), replaced(out, force):
        pytest.fail("nothing is to be written")
    assert out.lstat().st_ino == before and len(list(tmp_path.iterdir())) == 1


def test_a_link_that_leads_nowhere_exists(tmp_path):
    (tmp_path / "out.npy").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="exists"), replaced(tmp_path / "out.npy", force=False):
        pytest.fail("nothing is to be written")


def test_a_long_name(tmp_path):
    out = tmp_path / ("Ω" * 125 + ".npy")  # as long as a name can be
    with replaced(out, force=False) as file:
        file.write(b"x")
    assert out.read_bytes() == b"x"


def test_more_columns_than_a_table_has(tmp_path):
    log = recording(tmp_path / "log", np.zeros((5, 70_000), "u1"))
    for name in ("out.csv", "out.parquet"):
        with pytest.raises(ValueError, match=rf"items of 70,000 columns, of which a \{name[3:]} file gets 65,536"):
            export_log(log, tmp_path / name, int)
    assert rows(log[:1])[0][-1] == "… 4,464 more"
    export_log(log, tmp_path / "out.npy", int)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), log[:])


def test_what_cannot_be_exported(tmp_path):
    with pytest.raises(ValueError, match=r"out.xls: what is written is a .npy, a .csv or a .parquet"):
        export_log(recording(tmp_path / "log", np.ones(5)), tmp_path / "out.xls", int)
    with ObjectRing(1, DiskSink(tmp_path / "objects")) as ring:
        ring.push("a")
    with pytest.raises(ValueError, match="objects holds objects"):
        export_log(SpillLog(tmp_path / "objects"), tmp_path / "out.csv", int)
