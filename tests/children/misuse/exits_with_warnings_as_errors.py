"""Started by tests/_core/test_lifecycle.py."""

from helpers.in_child import *


class Bad(Sink):
    def send(self, items):
        raise OSError("full")


class Good(Sink):
    def send(self, items):
        print("good")


rings = [ArrayRing(2, "i8", sink) for sink in (Good(), Bad(), Bad(), Good())]
for ring in rings:
    ring.push(1)
