"""Times statements against each other."""
import timeit

import numpy as np


def side_by_side(*statements, setup="pass", turns=100, **names):
    """Nanoseconds of each statement, measured in one process, in turns of a millisecond or more.

    Parameters
    ----------
    *statements : str
        Each runs in the same loop, timeit's, with the garbage collector off.
    setup : str
        Runs before each turn, untimed.
    turns : int
        Of each statement.
    **names
        What the statements use. All become locals, so that no side pays for a lookup that another
        is spared.

    Returns
    -------
    list of float
        For each statement the best turn. What others do on the machine only ever adds time, and it
        comes in bursts: with many short turns each, every side gets quiet ones.
    """
    bind = "".join(f"{name} = names[{name!r}]; " for name in names)
    timers = [timeit.Timer(statement, bind + setup, globals={"names": names}) for statement in statements]
    numbers = []
    for timer in timers:
        number = 1
        while timer.timeit(number) < 0.001:
            number *= 2
        numbers.append(number)
    best = [float("inf")] * len(timers)
    for _ in range(turns):
        for i, timer in enumerate(timers):
            best[i] = min(best[i], timer.timeit(numbers[i]) / numbers[i] * 1e9)
    return best


def page_aligned(nbytes):
    """Bytes that start where a page does, as a ring's memory does: that alone is worth a factor of up to 2."""
    memory = np.ones(nbytes + 4096, "u1")  # zeros would all be read from the kernel's one page of them
    return memory[-memory.ctypes.data % 4096 :][:nbytes]
