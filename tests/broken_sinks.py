"""Sinks that break their contract, each in one way. Not collected: test_testing.py runs them and expects failures."""
from spill_ring import Sink
from spill_ring.testing import SinkTests


class Keeping(Sink):
    def __init__(self, probe):
        self.probe = probe
        self.items = []

    def send(self, items):
        block = list(items)
        if self.probe.before_item is not None:
            self.probe.before_item()
        self.keep(block)

    def keep(self, block):
        self.items += block


class KeepingTests(SinkTests):
    takes_part = False
    takes_objects = False
    test_what_it_takes = None  # any items would do

    def make(self, folder, probe):
        return self.cls(probe)

    def received(self, sink):
        return sink.items


class TestKeeps(KeepingTests):
    cls = Keeping


class TestLosesOne(KeepingTests):
    class cls(Keeping):
        def keep(self, block):
            super().keep(block[:8])


class TestDoublesOne(KeepingTests):
    class cls(Keeping):
        def send(self, items):
            self.keep(list(items)[:1])  # too early: taken, though what comes next may raise
            super().send(items)
            del self.items[-len(items)]


class TestReorders(KeepingTests):
    class cls(Keeping):
        def keep(self, block):
            super().keep(block[:2][::-1] + block[2:])


class TestStaysEntered(KeepingTests):
    class cls(Keeping):
        def __init__(self, probe):
            super().__init__(probe)
            self.is_entered = False

        def send(self, items):
            if self.is_entered:
                raise RuntimeError("in use")
            self.is_entered = True
            super().send(items)
            self.is_entered = False


class TestForgetsClose(KeepingTests):
    class cls(Keeping):
        def close(self):
            self.flush()
