"""Call everything that the package has, on objects in every state, with arguments of every kind.

    every_call.py SEED SECONDS [FILE]

Nothing may crash or hang. Objects are half-initialised, closed, dropped, in use, or given to a class that never asked
for them. Functions among the arguments call something else of the package, so that objects are entered again while
they are inside of a call. A signal whose handler raises ends a call that waits. What a call returns is called in turn.
The last line printed is the number of calls. FILE gets a line for each call, for whoever looks into a crash.
"""
import array
import asyncio
import faulthandler
import gc
import io
import os
import random
import signal
import sys
import tempfile
import time
import warnings

import numpy as np

import spill_ring

LIMIT = 0.05  # seconds that a call may wait
HANG = 120  # seconds without a new call that count as a hang
POOL = 150  # objects that are kept, to be called and given as arguments
DEPTH = 3  # calls inside of calls
LEFT_OUT = {"__class__", "__init_subclass__", "__subclasshook__", "__getattribute__", "__dict__", "__doc__", "__del__"}
CLASSES = [thing for thing in vars(spill_ring).values() if isinstance(thing, type)]
DTYPES = ["f8", "f4", "i4", "u1", "U3", "M8[s]", "c16", [("a", "i4"), ("b", "f8")], "O"]
# Capacities are small, or larger than any machine's memory.
NUMBERS = [0, 1, 2, 7, 64, -1, -(2**63), 2**62, 2**63, 2**64, 10**30, 0.5, float("nan"), float("inf"), True]
WORDS = [None, ..., "f8", "i4", "u8", "U3", "O", "V4", "(2,)f4", "spill", "block", "reject", "", "\0", b"x"]
OTHERS = [asyncio.Queue, Exception("x"), int, str, np.int64, *(f"file{n}" for n in range(6))]
NAMES = ["sink", "dtype", "capacity", "timeout", "n", "producers", "overflow", "copy", "name", "flush"]
ERRORS = [ValueError, KeyboardInterrupt, BlockingIOError, StopIteration, MemoryError]


class LateError(BaseException):
    """The handler of a signal raised it, since the call had waited long enough."""


def collections():
    return [
        [], [1.5], [1, 2, 3], ["a", None], [2**64], (), (1, 2.0), {}, {1: 2}, set(), range(3), iter([1, 2]),
        slice(1, None), slice(None, None, -1),
    ]  # fmt: skip


def foreign():
    return [
        io.BytesIO(), io.StringIO(), memoryview(b"abcd"), bytearray(8), array.array("d", [1.0]), np.float64(1),
        np.dtype("f8"), object(),
    ]  # fmt: skip


class Fuzz:
    def __init__(self, seed, log):
        self.random = random.Random(seed)
        self.log = log
        self.is_bounded = False
        self.calls = 0
        self.depth = 0
        self.pool = []

    def keep(self, thing):
        module = type(thing).__module__
        if module.startswith("spill_ring.interop"):
            return  # functions of C, which believe the address that they are called with
        if module.startswith("spill_ring") or isinstance(thing, np.ndarray):
            if len(self.pool) >= POOL:
                self.pool[self.random.randrange(POOL)] = thing
            else:
                self.pool.append(thing)

    def note(self, what, args=(), named=()):
        if self.log:
            print(self.depth, what, [type(arg).__name__ for arg in args], list(named), file=self.log, flush=True)

    def call_back(self, *args):
        """What a user's function does at times: it calls something else, and returns or raises anything."""
        if self.random.random() < 0.1:
            raise self.random.choice(ERRORS)
        if self.depth < DEPTH:
            self.step()
        return self.random.choice([None, None, None, 0, 1, -1, True, "x", 2**70])

    def block(self):
        shape = self.random.choice([0, 1, 3, 20, (2, 2), ()])
        block = np.zeros(shape, self.random.choice(DTYPES))
        return block[..., :: self.random.choice([1, -1, 2])] if block.ndim else block

    def argument(self):
        pick = self.random.choice
        kind = self.random.randrange(12)
        if kind < 4 and self.pool:
            return pick(self.pool)
        if kind < 6:
            return self.call_back
        if kind == 6:
            return self.block()
        return pick([NUMBERS, WORDS, OTHERS, CLASSES, collections(), foreign()][kind - 6])

    def arguments(self):
        named = {self.random.choice(NAMES): self.argument()} if self.random.random() < 0.2 else {}
        return [self.argument() for _ in range(self.random.choice([0, 0, 1, 1, 1, 2, 2, 3]))], named

    def make(self):
        """A new object: never initialised, with wrong arguments, or as it should be made."""
        cls = self.random.choice(CLASSES)
        way = self.random.randrange(4)
        if way == 0:
            return cls.__new__(cls)
        if way == 1:
            args, named = self.arguments()
            self.note(cls.__name__, args, named)
            return cls(*args, **named)
        sink = self.random.choice([None, spill_ring.CollectSink(), self.call_back, self.argument()])
        if way == 2:
            ring = self.random.choice([spill_ring.ArrayRing, spill_ring.SpscRing, spill_ring.SpillRing])
            return ring(self.random.choice([1, 2, 7, 64]), self.random.choice(["f8", "i4", "U3"]), sink)
        folder = f"folder{self.random.randrange(6)}"
        return self.random.choice([
            lambda: spill_ring.ObjectRing(4, sink),
            lambda: spill_ring.SpscRing(4, None, sink),
            lambda: spill_ring.MpscRing(4, "f8", sink, producers=2),
            lambda: spill_ring.BackgroundSink(sink, 4),
            lambda: spill_ring.BatchSink(3, sink),
            lambda: spill_ring.TeeSink(sink, spill_ring.CollectSink()),
            lambda: spill_ring.LockedSink(sink),
            lambda: spill_ring.DiskSink(folder),
            lambda: spill_ring.SpillLog(folder),
        ])()

    def operate(self, thing):
        return self.random.choice([
            lambda: thing[self.argument()],
            lambda: thing == self.argument(),
            lambda: self.argument() in thing,
            lambda: np.asarray(thing),
            lambda: memoryview(thing),
            lambda: len(thing),
            lambda: bool(thing),
            lambda: repr(thing),
            lambda: hash(thing),
            lambda: [item for item, _ in zip(thing, range(5), strict=False)],
        ])()

    def use(self):
        """One call, look-up, operator or assignment on something of the package."""
        thing = self.random.choice(self.pool)
        if isinstance(thing, np.ndarray):
            return thing.sum() if thing.dtype.kind in "iuf" else None
        # What only `object` defines says little, and would be most of the calls.
        cls = type(thing)
        names = [n for n in dir(cls) if n not in LEFT_OUT and getattr(cls, n, None) is not getattr(object, n, None)]
        name = self.random.choice(names or ["__sizeof__"])
        way = self.random.randrange(12)
        self.note(f"{cls.__name__}.{name} {way}")
        if way == 0:
            return setattr(thing, name, self.argument())
        if way == 1:
            return self.operate(thing)
        if way == 2:
            with thing as entered:
                self.keep(entered)
                return self.use()
        found = getattr(thing, name)
        self.keep(found)
        if not callable(found):
            return found
        args, named = self.arguments()
        self.note(name, args, named)
        return found(*args, **named)

    def step(self):
        self.depth += 1
        self.calls += 1
        try:
            made = self.make() if not self.pool or self.random.random() < 0.15 else self.use()
            self.keep(made)
            if hasattr(made, "__next__") and type(made).__module__.startswith("spill_ring"):
                self.keep(next(made, None))
        except (Exception, KeyboardInterrupt, LateError):
            pass
        finally:
            self.depth -= 1


def one_call(fuzz):
    """A call, and what it calls, that a signal ends where it takes long."""
    try:
        try:
            fuzz.is_bounded = True
            fuzz.step()
        finally:
            fuzz.is_bounded = False
    except LateError:  # the signal may come in the `finally`, too
        fuzz.is_bounded = False


def run(fuzz, seconds):
    def late(signum, frame):
        if fuzz.is_bounded:
            raise LateError

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, LIMIT, LIMIT)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        faulthandler.dump_traceback_later(HANG, exit=True)
        one_call(fuzz)
        if fuzz.random.random() < 0.002:
            fuzz.pool.clear()
            gc.collect()
    signal.setitimer(signal.ITIMER_REAL, 0)


def main(seed, seconds, log=None):
    faulthandler.enable()
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda unraisable: None
    fuzz = Fuzz(int(seed), log and open(log, "w"))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run(fuzz, float(seconds))
        faulthandler.dump_traceback_later(HANG, exit=True)
        fuzz.pool.clear()
        gc.collect()
        os.chdir("/")
    # What came before has harmed nobody else.
    kept = spill_ring.CollectSink()
    ring = spill_ring.ArrayRing(4, "f8", kept)
    ring.extend(np.arange(10.0))
    assert [*kept.items, *ring] == list(range(10)), (kept, ring)
    print(fuzz.calls)


main(*sys.argv[1:])
