"""Arrays of float64 from one thread to another: `SpscRing` beside the queues and pipes of the standard library.

Each producer may write over its array at once, so queues are put copies. A pipe goes to another process.
"""
import multiprocessing
import queue
import threading
import time

import numpy as np

from spill_ring import SpscRing

SIZES = (1, 256, 65_536)
SECONDS = 0.3


def ring(size, overflow):
    channel = SpscRing(1 << 18, "f8", overflow=overflow)
    out = np.empty(max(size, 4096))

    def receive():
        while channel.pop_into(out, timeout=None):
            pass

    return channel.extend, receive, channel.close


def of_queue(make):
    channel = make()

    def receive():
        while channel.get() is not None:
            pass

    return lambda items: channel.put(items.copy()), receive, lambda: channel.put(None)


def receive_bytes(pipe, size):
    out = np.empty(size)
    while pipe.recv_bytes_into(out) == out.nbytes:
        pass


def pipe(size):
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=receive_bytes, args=(theirs, size))
    process.start()
    return ours.send_bytes, process.join, lambda: ours.send_bytes(b"")


CHANNELS = {
    "SpscRing, spilling": lambda size: ring(size, "spill"),
    "SpscRing, blocking": lambda size: ring(size, "block"),
    "queue.SimpleQueue": lambda size: of_queue(queue.SimpleQueue),
    "queue.Queue(1024)": lambda size: of_queue(lambda: queue.Queue(1024)),
    "multiprocessing.Pipe": pipe,
}


def rate(channel, size):
    """Million items a second, until all have arrived or were spilled."""
    items = np.zeros(size)
    send, receive, close = CHANNELS[channel](size)
    thread = threading.Thread(target=receive)
    thread.start()
    sent = 0
    start = time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        for _ in range(16):
            send(items)
        sent += 16 * size
    close()
    thread.join()
    return sent / (time.perf_counter() - start) / 1e6


class Rate:
    unit = "M items/s"
    params = (list(CHANNELS), SIZES)
    param_names = ("channel", "size")

    def track_sent(self, channel, size):
        """Items that arrive or are spilled, the best of three runs."""
        return max(rate(channel, size) for _ in range(3))


class OverSimpleQueue:
    unit = "ratio"
    params = (list(CHANNELS)[:2], SIZES)
    param_names = ("channel", "size")

    def track_rate(self, channel, size):
        """The rate over that of a `queue.SimpleQueue`, in turns, the best of three of each."""
        ours, theirs = zip(*((rate(channel, size), rate("queue.SimpleQueue", size)) for _ in range(3)), strict=True)
        return max(ours) / max(theirs)

    track_rate.at_least = 0.2
