"""What a piece of work leaves behind in memory."""
import ctypes
import gc
import tracemalloc


def growth(work):
    """Bytes that three more turns of it leave behind, after one.

    The least of three looks: a Python without the GIL frees some memory when it likes.
    """
    tracemalloc.start()
    try:
        work()
        found = []
        for _ in range(3):
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(3):
                work()
            gc.collect()
            found.append(tracemalloc.get_traced_memory()[0] - before)
        return min(found)
    finally:
        tracemalloc.stop()


def thread_states():
    """How many threads Python knows."""
    api = ctypes.pythonapi
    for name in ("PyInterpreterState_Get", "PyInterpreterState_ThreadHead", "PyThreadState_Next"):
        getattr(api, name).restype = ctypes.c_void_p
    count, state = 0, api.PyInterpreterState_ThreadHead(ctypes.c_void_p(api.PyInterpreterState_Get()))
    while state:
        count, state = count + 1, api.PyThreadState_Next(ctypes.c_void_p(state))
    return count
