import signal

import pytest

from spill_ring._core.storage import use_mirror


def pytest_configure():
    # A suite that a shell started in the background ignores SIGINT, and so would the processes that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["mirrored", "heap"])
def memory(request):
    """Runs a test with both kinds of memory; the rings made in it have the one that it names."""
    before = use_mirror(request.param == "mirrored")
    yield request.param
    use_mirror(before)
