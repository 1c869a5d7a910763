"""Arrays from one thread to another: `SpscRing` beside the queues and pipes of the standard library.

Prints a Markdown table, and with a file name draws it: ``python asv_benchmarks/channels.py channels.png``.
Each producer may write over its array at once, so queues are put copies. A pipe goes to another process.
"""
import multiprocessing
import queue
import sys
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


def rate(make, size):
    """Million items a second, until all have arrived or were spilled; the best of three runs."""
    best = 0.0
    items = np.zeros(size)
    for _ in range(3):
        send, receive, close = make(size)
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
        best = max(best, sent / (time.perf_counter() - start) / 1e6)
    return best


def draw(rates, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    width = 0.8 / len(CHANNELS)
    for i, name in enumerate(CHANNELS):
        at = np.arange(len(SIZES)) + i * width
        axes.bar(at, [rates[name, size] for size in SIZES], width, label=name)
    axes.set_xticks(np.arange(len(SIZES)) + 0.4 - width / 2, [f"{size:,} float64" for size in SIZES])
    axes.set_yscale("log")
    axes.set_ylabel("million items/s")
    axes.set_xlabel("array that is sent at once")
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main(paths):
    rates = {(name, size): rate(make, size) for size in SIZES for name, make in CHANNELS.items()}
    print("| million items/s, arrays of | " + " | ".join(f"{size:,}" for size in SIZES) + " |")
    print("| --- |" + " ---: |" * len(SIZES))
    for name in CHANNELS:
        shown = [f"{float(format(rates[name, size], '.2g')):,g}" for size in SIZES]
        print(f"| `{name}` | " + " | ".join(shown) + " |")
    for path in paths:
        draw(rates, path)


if __name__ == "__main__":
    main(sys.argv[1:])
