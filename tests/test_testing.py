"""`SinkTests` catches what it is for: each broken sink fails, and a sound one passes."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.thread_unsafe(reason="runs pytest, which is no test of threads")]

BROKEN = Path(__file__).with_name("broken_sinks.py")

# What a class of broken_sinks.py fails, among others.
EXPECTED = {
    "TestLosesOne": "test_every_item_arrives_once_and_in_order",
    "TestDoublesOne": "test_an_error_at_any_item_loses_and_doubles_nothing",
    "TestReorders": "test_every_item_arrives_once_and_in_order",
    "TestStaysEntered": "test_an_error_at_any_item_loses_and_doubles_nothing",
    "TestForgetsClose": "test_to_close_again_does_nothing",
}


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """The tests that failed, by class."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "-c", os.devnull, "--tb=no",
         "-o", "python_files=broken_sinks.py", "-W", "ignore", str(BROKEN)],
        capture_output=True, text=True, cwd=tmp_path_factory.mktemp("broken"), timeout=250,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert re.search(r"\d+ failed, \d+ passed", done.stdout), done.stdout + done.stderr
    found = {}
    for name, test in re.findall(r"^FAILED .*::(\w+)::(\w+)", done.stdout, re.M):
        found.setdefault(name, set()).add(test)
    return found


@pytest.mark.parametrize("name", EXPECTED)
def test_a_broken_sink_is_caught(failures, name):
    assert EXPECTED[name] in failures[name]


def test_a_sound_sink_passes(failures):
    assert failures.keys() == EXPECTED.keys()
