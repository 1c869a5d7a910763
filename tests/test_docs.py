"""The documentation: examples that run, and public docstrings that say what they must."""
import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import spill_ring

pytestmark = pytest.mark.not_sanitized

MODULES = [module.name for module in pkgutil.walk_packages(spill_ring.__path__, "spill_ring.")]
README = Path(__file__).parent.parent / "README.md"
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


def test_the_readme_has_every_module():
    text = README.read_text().partition("## Development")[2]
    names = {name.rpartition(".")[2] for name in MODULES if not name.endswith("__main__")}
    assert not [name for name in names if f"`{name}`" not in text and f"`{name}/`" not in text]


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
