"""The kinds of rings that the tests go through: how the n-th item looks in each, and back."""
import numpy as np

import spill_ring

RECORD = np.dtype([("n", "i4"), ("half", "f8"), ("tag", "S3")])


class Objects:
    name = "objects"
    dtype = None

    def ring(self, capacity, sink=None):
        return spill_ring.ObjectRing(capacity, sink)

    def item(self, n):
        return ("item", n)

    def block(self, numbers):
        return [self.item(n) for n in numbers]

    def number(self, item):
        return item[1]

    def numbers(self, items):
        return [item[1] for item in items]


class Typed:
    def __init__(self, dtype, item, number):
        self.dtype = np.dtype(dtype)
        self.name = str(dtype)
        self.item = item
        self.number = number

    def ring(self, capacity, sink=None):
        return spill_ring.ArrayRing(capacity, self.dtype, sink)

    def block(self, numbers):
        block = np.empty(len(numbers), self.dtype)
        for i, n in enumerate(numbers):
            block[i] = self.item(n)
        return block

    def numbers(self, items):
        return [self.number(item) for item in items]


START = np.datetime64("2026-01-01", "us")
MICROSECOND = np.timedelta64(1, "us")

KINDS = [
    Objects(),
    Typed("f8", float, int),
    Typed("i4", int, int),
    Typed("u8", int, int),
    Typed(">f4", float, int),
    Typed("c16", lambda n: complex(n, -n), lambda item: int(item.real)),
    Typed("M8[us]", lambda n: START + n * MICROSECOND, lambda item: int((item - START) / MICROSECOND)),
    Typed("S7", lambda n: b"%d" % n, int),
    Typed("U9", str, int),
    Typed(RECORD, lambda n: (n, n / 2, b"%d" % (n % 100)), lambda item: int(item["n"])),
    Typed(("f4", (3,)), lambda n: [n, -n, 2 * n], lambda item: int(item[0])),
    Typed(("i2", (2, 2)), lambda n: [[n, 1], [2, -n]], lambda item: int(item[0, 0])),
]
