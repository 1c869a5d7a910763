"""Forks that check something in the child."""
import os
import traceback


def forked(check):
    """Call `check` in a forked child, which must return from it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            check()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
