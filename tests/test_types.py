"""The stubs: complete, the same as what runs, and what type checkers make of them.

All of mypy is run as users run it. It needs the package where mypy looks for it: in the folder
above the package, or installed.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import spill_ring

pytestmark = [
    pytest.mark.not_sanitized,
    pytest.mark.thread_unsafe(reason="runs mypy, which is no test of threads and takes its time"),
]

TESTS = Path(__file__).parent
PACKAGE = Path(spill_ring.__file__).parent
SOURCES = [path for ending in ("*.py", "*.pyx") for path in PACKAGE.rglob(ending)]


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    """Run a module of mypy; its output, and whether it was content."""
    # site-packages is found as it is, and mypy doesn't want to be started in it
    folder = PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").exists() else TESTS
    cache = tmp_path_factory.mktemp("mypy_cache")

    def run(module, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=folder, env=os.environ | {"MYPY_CACHE_DIR": str(cache)}, capture_output=True, text=True,
        )
        return done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_has_a_stub(source):
    assert source.with_suffix(".pyi").exists()


def test_typed_marker_ships():
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.slow
def test_stubs_are_sound(mypy):
    content, output = mypy("mypy", "--strict", "-p", "spill_ring")
    assert content, output


@pytest.mark.slow
def test_stubs_say_what_runs(mypy):
    content, output = mypy("mypy.stubtest", "spill_ring", "--allowlist", TESTS / "stubtest_allowlist.txt")
    assert content, output


@pytest.mark.slow
def test_example_is_accepted_and_its_mistakes_are_not(mypy):
    content, output = mypy("mypy", "--strict", TESTS / "typing_example.py")
    assert content, output


@pytest.mark.slow
def test_each_mistake_gets_its_error(mypy, tmp_path):
    marked = re.compile(r"  # type: ignore\[([\w-]+)\]$")
    lines = (TESTS / "typing_example.py").read_text().splitlines()
    expected = {(n, found[1]) for n, line in enumerate(lines, 1) if (found := marked.search(line))}
    refused = tmp_path / "refused.py"
    refused.write_text("\n".join(marked.sub("", line) for line in lines))
    _, output = mypy("mypy", "--strict", refused)
    assert {(int(n), code) for n, code in re.findall(r":(\d+): error: .*\[([\w-]+)\]$", output, re.M)} == expected


def test_example_runs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(TESTS)
    import typing_example

    typing_example.main(tmp_path)
