"""Every kind of item that a ring takes, recorded, through every command: a table of what each shows."""
import csv
import re
import sys
import warnings
from typing import NamedTuple

import numpy as np
import pytest

from spill_ring import ArrayRing, DiskSink
from spill_ring.cli.app import main
from spill_ring.cli.columns import columns, texts

pytestmark = [pytest.mark.not_sanitized, pytest.mark.thread_unsafe(reason="sets sys.argv")]
for module in ("typer", "rich", "plotext", "matplotlib", "pyarrow"):
    pytest.importorskip(module, reason="no wheel of it here")
parquet = pytest.importorskip("pyarrow.parquet", reason="no wheel of it here")

FAR = 2**62
NAT = -(2**63)
REFUSED = "Arrow has no type for that"
NO_ROOM = "Arrow has no room for"


def ints(dtype, *values):
    """Items of 64 bits by their bits, also where numpy would not write them."""
    return np.array(values, "i8").view(dtype)


def codes(*values):
    """One string of these code points."""
    return np.array(values, "u4").view(f"U{len(values)}")


class Row(NamedTuple):
    """What becomes of some items."""

    items: np.ndarray
    lines: list[str]  # of `tail`, and of the .csv file
    types: list[str] | str  # of the columns of the .parquet file, or why there is none
    drawn: tuple[str, ...] = ()  # the titles of the panels
    names: tuple[str, ...] = ("value",)  # of the columns


def number(dtype, type_, *values):
    values = values or (0, 100)
    return Row(np.array(values, dtype), [str(value) for value in values], [type_], ["value"])


def time(unit, value, text, type_):
    return Row(ints(f"M8[{unit}]", value, NAT), [text, "NaT"], type_)


def duration(unit, value, text, type_):
    return Row(ints(f"m8[{unit}]", value, NAT), [text, "NaT"], type_, ["value"])


TABLE = {
    "bool": Row(np.array([True, False]), ["True", "False"], ["bool"], ["value"]),
    **{name: number(name, arrow) for name, arrow in [
        ("i1", "int8"), ("i2", "int16"), ("i4", "int32"), ("i8", "int64"),
        ("u1", "uint8"), ("u2", "uint16"), ("u4", "uint32"), ("u8", "uint64"), (">i4", "int32"), (">u8", "uint64"),
    ]},
    "largest": number("u8", "uint64", 0, 2**64 - 1),
    "f8": number("f8", "double", 0.1, -1e300),
    ">f8": number(">f8", "double", 0.1, 3.0),
    "f4": Row(np.array([0.1, 16777216], "f4"), ["0.1", "1.6777216e+07"], ["float"], ["value"]),
    "f2": Row(np.array([0.1, 1024], "f2"), ["0.1", "1.024e+03"], ["halffloat"], ["value"]),
    "not a number": Row(np.array([np.nan, np.inf, -np.inf]), ["nan", "inf", "-inf"], ["double"]),
    "long double": Row(np.array([1, 2], "g") / 10, ["0.1", "0.2"], REFUSED, ["value"]),
    "longer double": Row(np.array([2], "g") ** -9000, [str(np.longdouble(2) ** -9000)], REFUSED, ["value"]),
    "c16": Row(np.array([0.1 - 2j, 0]), ["(0.1-2j)", "0j"], ["struct<real: double, imag: double>"], ["value"]),
    ">c8": Row(np.array([0.1 - 2j, 0], ">c8"), ["(0.1-2j)", "0j"], ["struct<real: float, imag: float>"], ["value"]),
    "long complex": Row(np.array([0.5 - 2j, 0], "G"), ["(0.5-2j)", "0j"], REFUSED, ["value"]),
    "Y": time("Y", 56, "2026", ["int32"]),
    "M": time("M", -1, "1969-12", ["int32"]),
    "W": time("W", 1, "1970-01-08", ["date32[day]"]),
    "D": time("D", 20780, "2026-11-23", ["date32[day]"]),
    "h": time("h", 25, "1970-01-02T01", ["timestamp[ms]"]),
    "m": time("m", 61, "1970-01-01T01:01", ["timestamp[ms]"]),
    "s": time("s", 61, "1970-01-01T00:01:01", ["timestamp[ms]"]),
    "ms": time("ms", 61, "1970-01-01T00:00:00.061", ["timestamp[ms]"]),
    "us": time("us", 61, "1970-01-01T00:00:00.000061", ["timestamp[us]"]),
    "ns": time("ns", 61, "1970-01-01T00:00:00.000000061", ["timestamp[ns]"]),
    "ps": time("ps", 61, "1970-01-01T00:00:00.000000000061", REFUSED),
    "fs": time("fs", 61, "1970-01-01T00:00:00.000000000000061", REFUSED),
    "as": time("as", 61, "1970-01-01T00:00:00.000000000000000061", REFUSED),
    "25s": time("25s", 2, "1970-01-01T00:00:50", ["timestamp[ms]"]),
    "no unit": Row(ints("M8", 61, NAT), ["61", "NaT"], REFUSED),
    "big-endian time": Row(np.array(["2026-01-01"], ">M8[s]"), ["2026-01-01T00:00:00"], ["timestamp[ms]"]),
    "far year": time("Y", 2**63 - 10, "1970 +9223372036854775798 Y", NO_ROOM),
    "far week": time("W", -FAR, "1970 -4611686018427387904 W", NO_ROOM),
    "far 7D": time("7D", FAR, f"1970 +{7 * FAR} D", NO_ROOM),
    "far second": time("s", FAR, str(np.datetime64(FAR, "s")), NO_ROOM),
    "far month": time("M", FAR, "384307168202284295-05", NO_ROOM),
    "m8[Y]": duration("Y", -3, "-3", ["int32"]),
    "m8[M]": duration("M", 14, "14", ["int32"]),
    "m8[W]": duration("W", 2, "2", ["duration[s]"]),
    "m8[D]": duration("D", 2, "2", ["duration[s]"]),
    "m8[h]": duration("h", 2, "2", ["duration[s]"]),
    "m8[25s]": duration("25s", 2, "50", ["duration[s]"]),
    "m8[ms]": duration("ms", -2, "-2", ["duration[ms]"]),
    "m8[us]": duration("us", 2, "2", ["duration[us]"]),
    "m8[ns]": duration("ns", 2, "2", ["duration[ns]"]),
    "m8[as]": duration("as", 2, "2", REFUSED),
    "far m8[W]": duration("W", FAR, str(FAR), NO_ROOM),
    "far m8[25s]": duration("25s", FAR, str(25 * FAR), NO_ROOM),
    "m8": Row(ints("m8", 5, NAT), ["5", "NaT"], REFUSED, ["value"]),
    "bytes": Row(np.array([b"abc", b"\xc3\xa9", b"\xff\0\x1b", b""]), ["abc", "é", "\\xff\\x00\\x1b", '""'],
                 ["binary"]),
    "text": Row(np.array(["a,b", 'Grüße "温"', "a\x1b]52;c;aGk=\x07\n", ""]),
                ['"a,b"', '"Grüße ""温"""', "a\\x1b]52;c;aGk=\\x07\\n", '""'], ["string"]),
    "big-endian text": Row(np.array(["abc"], ">U3"), ["abc"], ["string"]),
    "C1, right to left, private": Row(np.array(["\x9b31m", "a\u202eb", "\ue000", "a\u3000b\xa0"]),
                                      ["\\x9b31m", "a\\u202eb", "\\ue000", "a\u3000b\xa0"], ["string"]),
    "surrogates": Row(codes(0x41, 0xD800, 0xDC9B), ["A\\ud800\\udc9b"], ["string"]),
    "formulas": Row(np.array(["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "\uff1d1", "1-1", "'=1"]),
                    ["'=1+1", "'+1", "'-1", "'@a", "\\t=1", "\\r=1", "'\uff1d1", "1-1", "'=1"], ["string"]),
    "void": Row(np.array([b"\x00\xff\x10"], "V3"), ["00ff10"], ["fixed_size_binary[3]"]),
    "sub-array": Row(np.array([[1, 2], [3, 4]], "i2"), ["1,2", "3,4"], ["int16"] * 2, ["value"],
                     ["value[0]", "value[1]"]),
    "frames": Row(np.arange(8, dtype="u1").reshape(1, 2, 2, 2), ["0,1,2,3,4,5,6,7"], ["uint8"] * 8, ["value"],
                  [f"value[{a},{b},{c}]" for a in (0, 1) for b in (0, 1) for c in (0, 1)]),
    "records": Row(np.array([(1, "2026-01-01")], [("x", "f4"), ("t", "M8[D]")]), ["1.0,2026-01-01"],
                   ["float", "date32[day]"], ["x"], ["x", "t"]),
    "nested": Row(
        np.array([([((1, 2), b"a"), ((3, 4), b"b")],)], [("a", [("x", "i2", (2,)), ("y", [("z", "S3")])], (2,))]),
        ["1,2,a,3,4,b"], ["int16", "int16", "binary"] * 2, ["a.x"],
        ["a[0].x[0]", "a[0].x[1]", "a[0].y.z", "a[1].x[0]", "a[1].x[1]", "a[1].y.z"]),
    "frames of pixels": Row(np.array([[(1, 2), (3, 4)]], [("r", "u1"), ("g", "u1")]), ["1,2,3,4"], ["uint8"] * 4,
                            ["value.r", "value.g"], ["value[0].r", "value[0].g", "value[1].r", "value[1].g"]),
    "names that collide": Row(
        np.array([(1, (2,), [3, 4], 5, 6)],
                 [("a.b", "i1"), ("a", [("b", "i2")]), ("c", "i4", (2,)), ("c[1]", "i8"), ("a.b (2)", "u1")]),
        ["1,2,3,4,5,6"], ["int8", "int16", "int32", "int32", "int64", "uint8"], ["a.b", "c", "c[1]", "a.b (2)"],
        ["a.b", "a.b (2)", "c[0]", "c[1]", "c[1] (2)", "a.b (2) (2)"]),
    "names that do something": Row(
        np.array([(1, 2, 3, 4, [5, 6])], [
            ("$\\nope$", "i1"), ("x\x1b]52;c;aGk=\x07", "i1"), ("=1+1", "i1"), ("a\nb", "i1"), ("_", "i1", (2,)),
        ]),
        ["1,2,3,4,5,6"], ["int8"] * 6, ["$\\nope$", "x\\x1b]52;c;aGk=\\x07", "=1+1", "a\\nb", "_"],
        ["$\\nope$", "x\\x1b]52;c;aGk=\\x07", "=1+1", "a\\nb", "_[0]", "_[1]"]),
    "a long name": Row(np.array([(1,)], [("n" * 5000, "i1")]), ["1"], ["int8"], ["n" * 70], ["n" * 5000]),
    "padding": Row(np.array([(1, 2)], np.dtype([("a", "i1"), ("b", "f8")], align=True)), ["1,2.0"], ["int8", "double"],
                   ["a", "b"], ["a", "b"]),
    "nothing but padding": Row(np.zeros(2, {"names": [], "formats": [], "itemsize": 3}), ["", ""],
                               "the items have no fields", [], []),
}  # fmt: skip


@pytest.fixture(params=[pytest.param(row, id=name) for name, row in TABLE.items()])
def row(request):
    return request.param


@pytest.fixture
def folder(tmp_path, row):
    dtype = np.dtype((row.items.dtype, row.items.shape[1:]))
    with ArrayRing(1, dtype, DiskSink(tmp_path / "log", sync="never")) as ring:
        ring.extend(row.items)
    return tmp_path / "log"


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command; what it ended with, and what it printed."""
    def run(*args):
        monkeypatch.setattr(sys, "argv", ["spill-ring", *map(str, args)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended, warnings.catch_warnings():
            main()
        return ended.value.code, capsys.readouterr()

    return run


def test_tail(command, folder, row):
    code, said = command("tail", folder)
    assert (code, said.err) == (0, "")
    assert said.out.split("\n") == [*row.lines, ""]


@pytest.mark.slow
def test_csv(command, folder, row, tmp_path):
    assert command("export", folder, tmp_path / "out.csv") == (0, ("", ""))
    text = (tmp_path / "out.csv").read_text()
    header, lines = text.split("\n", 1)
    guarded = [f"'{name}" if name.startswith("=") else name for name in row.names]
    assert next(csv.reader([header]), []) == guarded
    assert lines.split("\n") == [*row.lines, ""]


@pytest.mark.slow
def test_npy(command, folder, row, tmp_path):
    assert command("export", folder, tmp_path / "out.npy") == (0, ("", ""))
    found = np.load(tmp_path / "out.npy")
    assert (found.dtype, found.shape, found.tobytes()) == (row.items.dtype, row.items.shape, row.items.tobytes())


@pytest.mark.slow
def test_parquet(command, folder, row, tmp_path):
    code, said = command("export", folder, tmp_path / "out.parquet")
    assert said == ("", "")
    if isinstance(row.types, str):
        assert re.fullmatch(f"spill-ring: [^\n]*{row.types}[^\n]*", code)
        assert not list(tmp_path.glob("out*"))
        return
    assert code == 0
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == list(row.names)
    assert [str(column.type) for column in table.columns] == row.types
    assert len(table) == len(row.items)
    for column, values in zip(table.columns, columns(row.items).values(), strict=True):
        check_same(column, values)


def check_same(column, values):
    """The values of a column of Arrow's are those of an array."""
    kind = values.dtype.kind
    if kind in "mM":
        assert column.is_null().to_pylist() == np.isnat(values).tolist()
        unit = {"date32[day]": "D", "int32": np.datetime_data(values.dtype)[0]}.get(str(column.type))
        numbers = column.cast("int32" if unit and kind == "M" else "int64").drop_null().to_numpy()
        unit = unit or str(column.type).partition("[")[2][:-1]
        np.testing.assert_array_equal(numbers.view("i8") if numbers.itemsize == 8 else numbers,
                                      values[~np.isnat(values)].astype(f"{kind}8[{unit}]").view("i8"))
    elif kind == "U":
        assert column.to_pylist() == texts(values, raw=True)
    elif kind == "V":
        assert column.to_pylist() == [value.tobytes() for value in values]
    elif kind == "c":
        assert [complex(value["real"], value["imag"]) for value in column.to_pylist()] == values.tolist()
    else:
        np.testing.assert_array_equal(column.to_pylist(), values.tolist())


@pytest.mark.slow
@pytest.mark.parametrize("png", [False, True])
def test_show(command, folder, row, tmp_path, png):
    code, said = command("show", folder, *(["--png", tmp_path / "out.png"] if png else []))
    assert (code, said.err) == (0, "")
    assert "verified" in said.out and "\x1b" not in said.out and "\x9b" not in said.out
    assert ("no numbers to draw" in said.out) == (not row.drawn)
    if not row.drawn:
        assert not (tmp_path / "out.png").exists()
    elif png:
        assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    else:
        titles = [line.strip() for line in said.out.splitlines() if "┌" not in line]
        at = [next((i for i, line in enumerate(titles) if line.startswith(title)), -1) for title in row.drawn]
        assert -1 not in at, said.out


TIMES = {
    "Y": np.arange(50, 60), "M": np.arange(600, 610), "as": np.arange(10), "ns": np.array([NAT + 1, 0, 2**63 - 1]),
    "far": np.array([FAR, FAR + 1]), "one far": np.array([0, 1, FAR, 3, NAT]),
}


@pytest.mark.parametrize("name", TIMES)
def test_a_picture_over_times(tmp_path, command, name):
    items = np.zeros(len(TIMES[name]), [("t", f"M8[{name if len(name) < 3 else 's'}]"), ("x", "i4")])
    items["t"] = TIMES[name].view(items.dtype["t"])
    with ArrayRing(1, items.dtype, DiskSink(tmp_path / "log", sync="never")) as ring:
        ring.extend(items)
    code, said = command("show", tmp_path / "log")
    assert (code, said.err) == (0, "") and re.search("[\u2801-\u28ff]", said.out)
    assert command("show", tmp_path / "log", "--png", tmp_path / "out.png")[0] == 0


def test_raw_writes_strings_as_they_are(tmp_path, command):
    items = np.array([("=1\x1b[0m\n", b"\xff\x1b")], [("=u", "U9"), ("s", "S9")])
    with ArrayRing(1, items.dtype, DiskSink(tmp_path / "log")) as ring:
        ring.extend(items)
    assert command("export", "--raw", tmp_path / "log", tmp_path / "out.csv")[0] == 0
    assert (tmp_path / "out.csv").read_bytes() == b'=u,s\n"=1\x1b[0m\n",\xff\x1b\n'
