"""A producer and a consumer in two threads, on two cores where there are as many: millions of items a second."""
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

import spill_ring
from spill_ring import ArrayRing, BackgroundSink, MpscRing, SpscRing

from .side_by_side import side_by_side

HERE = Path(__file__).parent


def run(ring, produce, consume):
    """Seconds until both are through."""
    def producer():
        produce()
        ring.close()

    threads = [threading.Thread(target=consume), threading.Thread(target=producer)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


class Loops:
    count = 5_000_000

    def setup_cache(self):
        """Compile the loops as a user would, and boost's where its headers are; returns the folder."""
        source = shutil.copy(HERE / "two_threads_loops.pyx", ".")
        command = [sys.executable, "-m", "Cython.Build.Cythonize", "--inplace", "-3", source]
        installed = str(Path(spill_ring.__file__).parents[1])
        environment = os.environ | {"CFLAGS": f"-O3 -I{spill_ring.get_include()}", "PYTHONPATH": installed}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        compiler = shutil.which("g++")
        if compiler:
            command = [compiler, "-O3", "-std=c++17", "-pthread", HERE / "two_threads_boost.cpp", "-o", "boost"]
            subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
        return os.getcwd()

    def setup(self, folder):
        sys.path.insert(0, folder)
        self.boost = Path(folder) / "boost"

    def rate(self, times=5, **options):
        """Of several runs the best: what others do on the machine only ever takes time."""
        import two_threads_loops as loops

        best = 0.0
        for _ in range(times):
            if options["overflow"] == "spill":
                options["sink"] = loops.CountSink()
            ring = SpscRing(1024, "u8", **options)
            popped = []
            seconds = run(
                ring,
                lambda ring=ring: loops.push_values(ring, self.count),
                lambda ring=ring, popped=popped: popped.append(loops.pop_values(ring)[0]),
            )
            stats = ring.stats
            assert stats.pushed == self.count and stats.popped == popped[0] == self.count - stats.spilled
            best = max(best, self.count / seconds / 1e6)
        return best


class ItemByItem(Loops):
    unit = "M items/s"

    def track_spilling(self, folder):
        """`push_value` and `pop_value`, a full ring that evicts 64 at a time; target ≥ 55, 5 times the Rust crate's."""
        return self.rate(overflow="spill", evict_block=64)

    def track_spilling_one_by_one(self, folder):
        """`push_value` and `pop_value`, a full ring that evicts each item. The Rust crate does 11."""
        return self.rate(overflow="spill")

    def track_rejecting(self, folder):
        """`try_push_value` and `pop_value`; target ≥ 52, boost's rate."""
        return self.rate(overflow="reject")


class BesideBoost(Loops):
    """Only where boost's headers are."""

    unit = "ratio"

    def setup(self, folder):
        super().setup(folder)
        if not self.boost.exists():
            raise NotImplementedError("no boost here")

    def track_rejecting(self, folder):
        """`try_push_value` and `pop_value` over boost's queue, in turns; target ≥ 1."""
        ours, theirs = 0.0, 0.0
        for _ in range(5):
            ours = max(ours, self.rate(times=1, overflow="reject"))
            theirs = max(theirs, boost_rate(self.boost, 1024, 1, self.count))
        return ours / theirs


def boost_rate(program, capacity, block, count):
    done = subprocess.run([program, str(capacity), str(block), str(count)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[0])


class Blocks:
    """From Python, in a ring of 65,536: delivered or spilled."""

    unit = "M items/s"
    params = ([256, 4096, 16384],)
    param_names = ("block",)
    count = 100_000_000

    def rate(self, block, overflow):
        best = 0.0
        for _ in range(5):
            ring = SpscRing(65536, "f8", overflow=overflow)
            items, out = np.zeros(block), np.empty(block)

            def produce(ring=ring, items=items, block=block):
                extend = ring.extend
                for _ in range(self.count // block):
                    extend(items)

            def consume(ring=ring, out=out):
                pop_into = ring.pop_into
                while pop_into(out, timeout=None):
                    pass

            best = max(best, self.count / run(ring, produce, consume) / 1e6)
        return best

    def track_spilling(self, block):
        """`extend` and `pop_into`; target ≥ 1900, boost's for blocks of 256 (2500 for 4,096)."""
        return self.rate(block, "spill")

    def track_blocking(self, block):
        """The same where the producer waits for room, so that all is delivered."""
        return self.rate(block, "block")


class Calls:
    unit = "ratio"

    def track_push_over_array_ring(self):
        """`SpscRing.push` of a float with room over `ArrayRing.push`; target ≤ 1.25."""
        ours, theirs = SpscRing(1_000_000, "f8"), ArrayRing(1_000_000, "f8")
        a, b = side_by_side(
            "a(1.5)", "b(1.5)", setup="x.clear(); y.clear()", a=ours.push, b=theirs.push, x=ours, y=theirs
        )
        return a / b

    track_push_over_array_ring.at_most = 3.5

    def track_pop_over_array_ring(self):
        """`SpscRing.pop` over `ArrayRing.pop`; target ≤ 1.25."""
        ours, theirs = SpscRing(1_000_000, "f8"), ArrayRing(1_000_000, "f8")
        full = np.zeros(1_000_000)
        a, b = side_by_side(
            "a()", "b()", setup="x.extend(f); y.extend(f)", a=ours.pop, b=theirs.pop, x=ours, y=theirs, f=full
        )
        return a / b

    track_pop_over_array_ring.at_most = 3.5


class Merging:
    """Producers that push blocks of 16,384, which let go of the GIL, and one consumer."""

    unit = "M items/s"
    params = ([n for n in (1, 2, 4, 8, 16) if n == 1 or n <= (os.cpu_count() or 1)],)
    param_names = ("producers",)
    count = 20_000_000

    def track_pushed(self, producers):
        """All producers together, pushed into an `MpscRing` of 4,096 each while one consumer pops."""
        best = 0.0
        for _ in range(3):
            ring = MpscRing(4096, "f8", producers=producers)
            items = np.zeros(16384)

            def produce(producer, items=items):
                for _ in range(self.count // len(items)):
                    producer.extend(items)

            threads = [threading.Thread(target=produce, args=(producer,)) for producer in ring.producers]
            consumer = threading.Thread(target=lambda ring=ring: [None for _ in ring.blocks()])
            start = time.perf_counter()
            for thread in (consumer, *threads):
                thread.start()
            for thread in threads:
                thread.join()
            best = max(best, ring.stats.pushed / (time.perf_counter() - start) / 1e6)
            ring.close()
            consumer.join()
        return best


class Background:
    unit = "µs"

    def track_push_beside_a_slow_sink(self):
        """The 99.9th percentile of `extend` of 256, every 50 µs, beside a sink that sleeps 10 ms; target ≤ 5."""
        ring = ArrayRing(1024, "f8", sink=BackgroundSink(lambda block: time.sleep(0.01), 1 << 20))
        items = np.zeros(256)
        times = []
        clock = time.perf_counter_ns
        after = clock()
        for _ in range(20_000):
            while clock() < after:
                pass
            before = clock()
            ring.extend(items)
            times.append(clock() - before)
            after += 50_000
        ring.close()
        return float(np.percentile(times, 99.9)) / 1e3
