"""Foreign text on its way to a terminal or a spreadsheet."""
import sys
import unicodedata

import numpy as np
import pytest

from spill_ring import ArrayRing, DiskSink, ObjectRing
from spill_ring.cli.app import main
from spill_ring.cli.progress import progress_bar
from spill_ring.cli.text import cell, clipped, printable

pytestmark = [pytest.mark.not_sanitized, pytest.mark.thread_unsafe(reason="sets sys.argv")]
EVIL = "a\x1b]52;c;aGk=\x07\x9b2J\u202e\r\n"
SEEN = "a\\x1b]52;c;aGk=\\x07\\x9b2J\\u202e\\r\\n"


def test_every_character_that_does_something_is_escaped():
    for code in range(0x110000):
        character = chr(code)
        kind = unicodedata.category(character)
        found = printable(character)
        if kind[0] in "LMNPS" or kind == "Zs":
            assert found == character
        elif "\udca0" <= character <= "\udcff":  # a byte of a file's name
            assert found == character
        else:
            assert found.isascii() and found.isprintable() and found.startswith("\\")


@pytest.mark.parametrize("text, expected", [
    (EVIL, SEEN), ("温 Grüße 🎉", "温 Grüße 🎉"), ("fl\udcefght", "fl\udcefght"), ("\udc9b2J", "\\x9b2J"), ("", ""),
])
def test_printable(text, expected):
    assert printable(text) == expected


@pytest.mark.parametrize("text, expected", [
    ("=1", "'=1"), ("+1", "'+1"), ("-1", "'-1"), ("@a", "'@a"), ("\t=", "\\t="), ("a=1", "a=1"), ("", ""),
    ("\uff0b1", "'\uff0b1"),
])
def test_cell(text, expected):
    assert cell(text) == expected


def test_clipped():
    assert clipped("\x1b" * 1000, 10) == "\\x1b\\x1b\\…"
    assert clipped("a" * 10, 10) == "a" * 10


@pytest.mark.parametrize("args", [
    ["show", EVIL], ["tail", EVIL], ["export", EVIL, "out.csv"], ["export", "log", EVIL],
    ["export", "log", EVIL + "/out.csv"], ["record", EVIL, "--to", "new"], ["record", EVIL + ".npy", "--to", "new"],
    ["record", "-", "--dtype", EVIL, "--to", "x"],
    ["show", "log", "--png", EVIL + "/a.png"], ["record", "in.npy", "--to", EVIL + "/out.npy"],
], ids=lambda args: args[0])
def test_an_error_is_one_line_without_escape_sequences(tmp_path, monkeypatch, args):
    np.save(tmp_path / "in.npy", np.ones(3))
    with ArrayRing(1, "i4", DiskSink(tmp_path / "log")) as ring:
        ring.push(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["spill-ring", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code.startswith("spill-ring: ") and ended.value.code.isprintable()
    assert SEEN in ended.value.code


def test_a_folder_with_such_a_name_is_shown(tmp_path, monkeypatch, capsys):
    folder = tmp_path / EVIL
    with ObjectRing(1, DiskSink(folder)) as ring:
        ring.push(EVIL)
    for command in ("show", "tail"):
        monkeypatch.setattr(sys, "argv", ["spill-ring", command, str(folder)])
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
        said = capsys.readouterr().out
        assert SEEN in "".join(said.split("\n")).replace(" ", "")
        assert all(character.isprintable() for character in said if character != "\n")


def test_the_progress_bar_has_no_such_title(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    with progress_bar(EVIL, 8, 8) as advance:
        advance(8)
    said = capsys.readouterr().err
    assert "]52;c;" in said and "\x1b]52" not in said and "\x9b" not in said and "\u202e" not in said


def test_a_npy_file_with_a_wide_header_is_recorded(tmp_path, monkeypatch):
    items = np.zeros(5, [(f"channel_{i:04d}_voltage", "f8") for i in range(900)])
    np.save(tmp_path / "in.npy", items)
    monkeypatch.setattr(sys, "argv", ["spill-ring", "record", f"{tmp_path}/in.npy", "--to", f"{tmp_path}/out.npy"])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    assert np.load(tmp_path / "out.npy", max_header_size=10**6).dtype == items.dtype
