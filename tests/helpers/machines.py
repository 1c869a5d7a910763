"""State machines, each run for several kinds of rings."""
import pytest
from hypothesis import settings

from helpers.kinds import KINDS


def one_for_each_kind(machine, *, examples, steps, kinds=KINDS):
    """A TestCase of `machine` for each of the kinds, by name, to be added to a module's globals.

    `examples` is the machine's share of the examples that the profile in conftest.py gives to a property.
    """
    quick = KINDS[:2] + KINDS[-1:]  # the others are slow
    count = max(1, round(examples * settings().max_examples))
    for kind in kinds:
        of_kind = type(f"{machine.__name__}_{kind.name}", (machine,), {"kind": kind})
        of_kind.TestCase.settings = settings(max_examples=count, stateful_step_count=steps)
        name = f"Test{machine.__name__}{KINDS.index(kind)}"
        test = type(f"Test_{kind.name}", (of_kind.TestCase,), {})
        yield name, test if kind in quick else pytest.mark.slow(test)
