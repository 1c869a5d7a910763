"""What all tests share: hypothesis profiles, the markers `compiler` and `tool`, and fixtures."""
import os
import shutil
import signal

import pytest
from hypothesis import HealthCheck, settings

from spill_ring._core.storage import use_mirror

# How many examples each property gets; a state machine gets a share of that, as helpers/machines.py says.
# $HYPOTHESIS_PROFILE chooses a profile.
PROFILES = {"dev": 100, "sanitizer": 50, "free_threaded": 35, "other_machine": 50, "long": 2000}
for name, examples in PROFILES.items():
    settings.register_profile(
        name, max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_configure():
    # A shell that starts the suite in the background makes it ignore SIGINT, and the children of tests inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(params=["mirrored", "heap"])
def memory(request):
    """Runs a test with both kinds of memory; the rings made in it have the one that it names."""
    before = use_mirror(request.param == "mirrored")
    yield request.param
    use_mirror(before)
