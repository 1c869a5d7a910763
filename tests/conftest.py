"""What all tests share: hypothesis profiles, the markers `compiler` and `tool`, and fixtures."""
import os
import shutil
import signal

import pytest
from hypothesis import HealthCheck, settings

from helpers.compilers import compiled, extension
from spill_ring import get_include
from spill_ring._core.storage import use_mirror

# How many examples each property gets; a state machine gets a share of that, as helpers/machines.py says.
# $HYPOTHESIS_PROFILE chooses a profile.
PROFILES = {"dev": 100, "sanitizer": 50, "free_threaded": 35, "other_machine": 50, "long": 2000}
for name, examples in PROFILES.items():
    settings.register_profile(
        name, max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# The fixtures that need a compiler, and those that take it many seconds.
CYTHON_CLIENTS = {"client", "spsc_client"}
CLIENTS = CYTHON_CLIENTS | {"pthread_client", "native_sinks"}


def pytest_configure():
    # A shell that starts the suite in the background makes it ignore SIGINT, and the children of tests inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    for item in items:
        if not CLIENTS.isdisjoint(item.fixturenames):
            item.add_marker("compiler")
        if not CYTHON_CLIENTS.isdisjoint(item.fixturenames):
            item.add_marker("slow")


@pytest.hookimpl(tryfirst=True)  # before the fixtures of the test, which use the tools
def pytest_runtest_setup(item):
    """Skip a test whose compiler or tool is missing; in CI, where $SPILL_RING_CI is set, it fails."""
    tools = [tool for mark in item.iter_markers("tool") for tool in mark.args]
    if item.get_closest_marker("compiler"):
        tools.append(os.environ.get("CC", "cc").split()[0])
    for tool in tools:
        if shutil.which(tool) is None:
            reason = f"no {tool} on this machine"
            pytest.fail(reason, pytrace=False) if os.environ.get("SPILL_RING_CI") else pytest.skip(reason)


@pytest.fixture(scope="session")
def client(tmp_path_factory):
    """tests/client/client.pyx, compiled without an include folder or a link flag."""
    return compiled("client", tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="session")
def spsc_client(tmp_path_factory):
    return compiled("spsc_client", tmp_path_factory.mktemp("spsc_client"), [get_include()])


@pytest.fixture(scope="session")
def pthread_client(tmp_path_factory):
    """A thread that Python doesn't know pushes and pops."""
    return extension("pthread_client", tmp_path_factory.mktemp("pthread_client"))


@pytest.fixture(scope="session")
def native_sinks(tmp_path_factory):
    return extension("native_sinks", tmp_path_factory.mktemp("native_sinks"))


@pytest.fixture(params=["mirrored", "heap"])
def memory(request):
    """Runs a test with both kinds of memory; the rings made in it have the one that it names."""
    before = use_mirror(request.param == "mirrored")
    yield request.param
    use_mirror(before)
