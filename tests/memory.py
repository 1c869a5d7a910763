"""What a piece of work leaves behind in memory."""
import gc
import tracemalloc


def growth(work):
    """Bytes that three more turns of it leave behind, after one."""
    tracemalloc.start()
    try:
        work()
        gc.collect()
        first = tracemalloc.get_traced_memory()[0]
        for _ in range(3):
            work()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - first
    finally:
        tracemalloc.stop()
