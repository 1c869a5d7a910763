"""What the package needs of the interpreter that it runs in."""
import pytest

from helpers.children import run_child


@pytest.mark.parametrize("state", ["alive", "gone"])
def test_a_process_with_a_subinterpreter(state):
    assert run_child("interpreter/subinterpreters", state).split() == ["works"]
