"""A folder is somebody else's: whatever lies in it, a reader gets items, or an error that says why not.

The inputs are made in a child whose memory is bounded, so that what is believed without a look is seen.
"""
import pytest

from helpers.children import run_child
from helpers.recordings import STEP

pytestmark = pytest.mark.not_sanitized


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["typed", "text", "objects"])
def test_whatever_is_in_the_folder(tmp_path, kind):
    run_child("recording/read_fuzzed_folders", tmp_path, kind, 150 if STEP > 1 else 20_000)

