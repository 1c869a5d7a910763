"""The documentation: examples that run, and public docstrings that say what they must."""
import doctest
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import spill_ring

pytestmark = pytest.mark.not_sanitized

MODULES = [module.name for module in pkgutil.walk_packages(spill_ring.__path__, "spill_ring.")]
README = Path(__file__).parent.parent / "README.md"
CONTRIBUTING = README.with_name("CONTRIBUTING.md")
NAMES = {name: getattr(spill_ring, name) for name in spill_ring.__all__} | {"np": np}


@pytest.mark.thread_unsafe(reason="doctest swaps sys.stdout")
@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    module = importlib.import_module(name)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in finder.find(module, module.__name__, extraglobs=NAMES):
        runner.run(test)
    assert runner.failures == 0


def test_there_are_examples():
    """The ones above are found in compiled modules too."""
    modules = [importlib.import_module(name) for name in MODULES]
    compiled = [module for module in modules if not module.__file__.endswith(".py")]
    found = [test for module in compiled for test in doctest.DocTestFinder().find(module)]
    assert sum(len(test.examples) for test in found) >= 100


@pytest.mark.thread_unsafe(reason="doctest swaps sys.stdout")
def test_examples_in_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # they write a file
    test = doctest.DocTestParser().get_doctest(README.read_text(), dict(NAMES), "README.md", str(README), 0)
    assert len(test.examples) > 10
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test)
    assert runner.failures == 0


def test_the_readme_has_every_ring_and_sink():
    table = README.read_text().partition("## Which one")[2].partition("\n## ")[0]
    names = {name for name in spill_ring.__all__ if name.endswith(("Ring", "Sink"))} - {"Sink"}
    assert not [name for name in names if not re.search(rf"^\| .*\b{name}\b", table, re.M)]


def test_contributing_has_every_package():
    text = CONTRIBUTING.read_text().partition("## Where things are")[2].partition("\n## ")[0]
    names = {name.split(".")[1] for name in MODULES if not name.endswith("__main__")} | {"__init__"}
    assert not [name for name in names if f"| `{name}` |" not in text and f"| `{name}/` |" not in text]


@pytest.mark.slow
@pytest.mark.thread_unsafe(reason="runs pytest")
def test_the_sink_in_contributing_works(tmp_path, monkeypatch):
    """As it stands there: the module with its example, and its tests."""
    text = CONTRIBUTING.read_text().partition("### In Python")[2].partition("\n### ")[0]
    module, tests = (textwrap.dedent(block) for block in re.findall(r"^   ```python\n(.*?)^   ```", text, re.S | re.M))
    (tmp_path / "every_other.py").write_text(module)
    (tmp_path / "test_every_other.py").write_text(tests.replace("spill_ring.sinks.every_other", "every_other"))
    found = {}
    exec(module, found)
    doc = found["EveryOtherSink"].__doc__
    test = doctest.DocTestParser().get_doctest(doc, NAMES | found, "EveryOtherSink", None, 0)
    assert doctest.DocTestRunner().run(test).failed == 0 < len(test.examples)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "test_every_other.py"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=tmp_path, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def public_methods():
    for name in spill_ring.__all__:
        thing = getattr(spill_ring, name)
        if inspect.isclass(thing) and not issubclass(thing, Exception):
            for attribute in dir(thing):
                if not attribute.startswith("_"):
                    yield f"{name}.{attribute}", getattr(thing, attribute)


@pytest.mark.parametrize("name, thing", [pytest.param(*found, id=found[0]) for found in public_methods()])
def test_everything_public_has_a_docstring_and_a_signature(name, thing):
    assert thing.__doc__, name
    if callable(thing):
        inspect.signature(thing)


WITHOUT_STATE = ["Stats", "SpillRing", "get_include", "ToBytes", "FromBytes"] + [
    name for name, thing in NAMES.items() if inspect.isclass(thing) and issubclass(thing, Exception)
]


@pytest.mark.parametrize("name", [name for name in spill_ring.__all__ if name not in WITHOUT_STATE])
def test_classes_say_who_may_call_them(name):
    doc = getattr(spill_ring, name).__doc__
    assert re.search(r"Thread safety|[Aa]ny number of threads", doc), name
    inspect.signature(getattr(spill_ring, name))
