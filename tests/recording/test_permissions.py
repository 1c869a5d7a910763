"""Folders that are read-only, or become so."""
import tempfile

import pytest

from helpers.children import run_child

pytestmark = pytest.mark.not_sanitized


def run_as_somebody(function, *args):
    """Root may write anywhere, so the child becomes somebody else, who can't get into pytest's folders."""
    with tempfile.TemporaryDirectory() as home:
        run_child("recording/somebody", home, function, *args)


@pytest.mark.slow
def test_a_recording_is_refused_where_nobody_may_write():
    run_as_somebody("record_without_permission")


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["interval", "always", "never"])
def test_a_folder_that_becomes_read_only(sync):
    """What was pushed stays in the ring, and goes on once the folder is writable."""
    run_as_somebody("record_while_permission_changes", sync)


@pytest.mark.slow
def test_reading_where_nobody_may_write():
    pytest.importorskip("plotext", reason="no wheel of it here")
    run_as_somebody("read_without_permission")
