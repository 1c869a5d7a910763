import pytest

from spill_ring.storage import use_mirror


@pytest.fixture(params=["mirrored", "heap"])
def memory(request):
    """Runs a test with both kinds of memory; the rings made in it have the one that it names."""
    before = use_mirror(request.param == "mirrored")
    yield request.param
    use_mirror(before)
