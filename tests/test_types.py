"""The types: stubs of the compiled modules, annotations of the others, and what mypy makes of both.

mypy is run as users run it. It needs the package where it looks for it: in the folder above the package, or
installed.
"""
import os
import re
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import pytest

import spill_ring

pytestmark = [
    pytest.mark.not_sanitized,
    pytest.mark.thread_unsafe(reason="runs mypy, which is no test of threads and takes its time"),
]

TESTS = Path(__file__).parent
CONFIG = TESTS.parent / "pyproject.toml"
PACKAGE = Path(spill_ring.__file__).parent
SOURCES = list(PACKAGE.rglob("*.pyx"))  # in a checkout; an installed package has the extension modules alone
COMPILED = SOURCES or [path for suffix in EXTENSION_SUFFIXES for path in PACKAGE.rglob(f"*{suffix}")]


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


def test_each_compiled_module_has_a_stub_and_no_other():
    """A stub beside a .py module would hide its annotations from mypy."""
    expected = {path.with_name(path.name.partition(".")[0]).with_suffix(".pyi") for path in COMPILED}
    assert set(PACKAGE.rglob("*.pyi")) == expected


@pytest.mark.parametrize(
    "alias, arguments, options",
    [
        (spill_ring.ArrayRing[np.float64], [4], {}),
        (spill_ring.ObjectRing[str], [4], {}),
        (spill_ring.SpscRing[str, list[str]], [4], {}),
        (spill_ring.MpscRing[str, list[str]], [4], {"producers": 2}),
        (spill_ring.CollectSink[list[str]], [], {}),
        (spill_ring.History[str, list[str]], [spill_ring.ObjectRing(4)], {}),
    ],
    ids=str,
)
def test_generic_classes_take_parameters_at_run_time(alias, arguments, options):
    assert type(alias(*arguments, **options)) is alias.__origin__


def test_typed_marker_ships():
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.slow
def test_types_are_sound(mypy):
    content, output = mypy("mypy", "--config-file", CONFIG, "--strict", "-p", "spill_ring")
    assert content, output


@pytest.mark.slow
def test_types_say_what_runs(mypy):
    content, output = mypy(
        "mypy.stubtest", "spill_ring", "--allowlist", TESTS / "stubtest_allowlist.txt", "--mypy-config-file", CONFIG
    )
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
