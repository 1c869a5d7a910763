import sys

import pytest

from helpers.background import gates


@pytest.fixture
def many_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(autouse=True)
def open_gates():
    """Open the gates of a test that failed, since the end of the interpreter waits for their sinks."""
    yield
    for gate in list(gates):
        gate.gate.set()
