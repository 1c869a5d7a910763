"""`ring.history`: whatever is called on a chain, each number is the right item or an error of the right kind."""
import itertools
import os
import re
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from helpers.kinds import KINDS
from helpers.machines import one_for_each_kind
from helpers.model import Boom, Flaky, RingModel, SinkModel, outcome
from spill_ring import (
    ArrayRing,
    BackgroundSink,
    BatchSink,
    CollectSink,
    DiskSink,
    DropSink,
    FnSink,
    History,
    LockedSink,
    ObjectRing,
    ReduceSink,
    Sink,
    SpillLog,
    TeeSink,
    record,
)
from spill_ring.recording import blocks
from spill_ring.recording.files import open_regular

POPPED, CLEARED, DRAINED = "popped from", "cleared from", "drained elsewhere from"
DROPPED, GONE, TAKEN, REMOVED = "dropped by", "went on to", "taken from", "removed by"
FED, NOT_THERE = "others than", "not there"


class ChainedModel(RingModel):
    """A ring that is a sink too."""

    def send(self, items):
        before = self.pushed
        outcome(self.extend, items)
        return self.pushed - before

    def flush(self):
        if self.sink is not None:
            self.evict(len(self.items))
            self.sink.flush()


class EndModel(SinkModel):
    def flush(self):
        pass


class BatchModel:
    def __init__(self, n, sink):
        self.n, self.sink, self.held = n, sink, []

    def send(self, items):
        self.held += items
        whole = len(self.held) // self.n * self.n
        self.sink.send(self.held[:whole])
        del self.held[:whole]
        return len(items)

    def flush(self):
        self.sink.send(self.held)
        self.held.clear()


class Chain(RuleBasedStateMachine):
    """One to three rings, a link to what is at the end, and a model in which items are their numbers."""

    kind = None  # set in the subclasses

    @initialize(data=st.data())
    def start(self, data):
        self.folder = tempfile.mkdtemp()
        self.values = []  # by number
        self.next = 0
        self.open(data)

    def open(self, data):
        self.end_name = data.draw(st.sampled_from(["nothing", "collect", "disk", "flaky", "flaky and collect"]))
        fails = "flaky" in self.end_name
        link = "direct"
        if self.end_name != "nothing":
            link = data.draw(st.sampled_from(["direct", "locked"] + ["batch", "background"] * (not fails)))
        self.flaky, self.end, self.end_model = None, None, EndModel()
        self.values = []
        if fails:
            self.flaky = end = Flaky(self.kind)
        if "collect" in self.end_name:
            self.end = end = CollectSink()
        if self.end_name == "disk":
            self.end = end = DiskSink(
                self.folder, segment_bytes=200, keep_bytes=1000, sync="never",
                encoder=None if self.kind.dtype else "pickle",
            )
        if self.end_name == "flaky and collect":
            end = TeeSink(self.flaky, self.end)
        if self.end_name == "nothing":
            end = self.end_model = None
        self.batch, self.background, front_model = None, None, self.end_model
        if link == "locked":
            end = LockedSink(end)
        elif link == "background":
            self.background = end = BackgroundSink(end, 1000)
        elif link == "batch":
            self.batch = BatchModel(3, self.end_model)
            end, front_model = BatchSink(3, end), self.batch
        self.rings, self.models = [], []
        self.fed, self.fates = set(), {}
        depth = data.draw(st.integers(1, 3))
        for i in range(depth):
            capacity = data.draw(st.integers(1, 6))
            end = self.kind.ring(capacity, end)
            front_model = ChainedModel(capacity, front_model)
            self.rings.insert(0, end)
            self.models.insert(0, front_model)
            if i == 0 and self.end_name == "disk":  # bound by now
                self.take_over_recording()
            if i < depth - 1:  # what is there before the ring in front
                self.extend_into(0, data.draw(st.integers(0, 9)))
        self.fed.clear()

    def take_over_recording(self):
        log = SpillLog(self.folder, encoder=self.end.encoder)
        self.values = [None] * log.first + self.kind.numbers(log[:])
        self.end_model.got = list(range(len(self.values)))

    def teardown(self):
        if hasattr(self, "rings"):
            try:
                self.numbers_are_right(range(len(self.values)))
            finally:
                self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self):
        if self.flaky is not None:
            self.flaky.budget = None
        self.rings[0].close()

    def extend_into(self, i, count):
        """Push at one of the rings: what goes in at the first is numbered."""
        values = list(range(self.next, self.next + count))
        self.next += count
        is_front = i == 0
        model = self.models[i]
        before = model.pushed
        numbers = list(range(len(self.values), len(self.values) + count)) if is_front else [None] * count
        assert outcome(self.rings[i].extend, self.kind.block(values)) is outcome(model.extend, numbers)
        if is_front:
            self.values += values[: model.pushed - before]
        elif model.pushed > before:
            self.fed.add(i)

    # -- what can be called ------------------------------------------------------------------------

    @rule(count=st.integers(0, 14))
    def extend(self, count):
        self.extend_into(0, count)

    @rule()
    def push(self):
        n, self.next = self.next, self.next + 1
        pushed = outcome(self.rings[0].push, self.kind.item(n))
        assert pushed is outcome(self.models[0].extend, [len(self.values)])
        if pushed is None:
            self.values.append(n)

    @precondition(lambda self: self.kind.dtype is not None)
    @rule(count=st.integers(0, 6))
    def reserve(self, count):
        count = min(count, self.models[0].capacity)
        values = list(range(self.next, self.next + count))
        self.next += count
        room = outcome(self.models[0].make_room, count)
        reservation = self.rings[0].reserve(count)
        block = outcome(reservation.__enter__)
        assert (block is Boom) == (room is Boom)
        if block is not Boom:
            if count:
                block[...] = self.kind.block(values)
            reservation.__exit__(None, None, None)
            self.models[0].extend(list(range(len(self.values), len(self.values) + count)))
            self.values += values

    def lose(self, numbers, i, why):
        self.fates.update((n, (i, why)) for n in numbers if n is not None)

    @rule(i=st.integers(0, 2), count=st.integers(1, 7), at_once=st.booleans())
    def pop(self, i, count, at_once):
        i = min(i, len(self.rings) - 1)
        if at_once:
            self.rings[i].pop_many(count)
        else:
            for _ in range(count):
                self.rings[i].pop(None)
        self.lose(self.models[i].pop_many(count), i, POPPED)

    @rule(i=st.integers(0, 2))
    def clear(self, i):
        i = min(i, len(self.rings) - 1)
        self.lose(self.models[i].items, i, CLEARED)
        self.rings[i].clear()
        self.models[i].clear()

    @rule(i=st.integers(0, 2), budget=st.none() | st.integers(0, 5))
    def drain_elsewhere(self, i, budget):
        i = min(i, len(self.rings) - 1)
        sink, model = Flaky(self.kind), EndModel()
        sink.budget = model.budget = budget
        assert outcome(self.rings[i].drain, sink) == outcome(self.models[i].drain, model)
        self.lose(model.got, i, DRAINED)

    @rule()
    def drain_into_the_next(self):
        if len(self.rings) > 1:
            front, back = self.models[:2]
            assert outcome(self.rings[0].drain, self.rings[1]) == outcome(front.drain, back)

    @rule(i=st.integers(0, 2))
    def flush(self, i):
        i = min(i, len(self.rings) - 1)
        assert (outcome(self.rings[i].flush) is Boom) == (outcome(self.models[i].flush) is Boom)

    @precondition(lambda self: self.flaky is not None)
    @rule(budget=st.none() | st.integers(0, 9))
    def set_budget(self, budget):
        self.flaky.budget = self.end_model.budget = budget

    @precondition(lambda self: len(self.rings) > 1)
    @rule(i=st.integers(1, 2), count=st.integers(0, 3))
    def feed_from_elsewhere(self, i, count):
        self.extend_into(min(i, len(self.rings) - 1), count)

    @precondition(lambda self: self.end is not None)
    @rule(count=st.integers(1, 3))
    def feed_the_end_from_elsewhere(self, count):
        if self.background is not None:
            self.background.flush()
        for n in range(self.next, self.next + count):
            self.end.send(self.kind.item(n) if self.kind.dtype is None else self.kind.block([n]))
        self.next += count
        self.end_model.got += [None] * count
        self.fed.add(len(self.rings))

    @precondition(lambda self: isinstance(self.end, CollectSink))
    @rule()
    def take(self):
        if self.background is not None:
            self.background.flush()
        taken = self.kind.numbers(self.end.take())
        assert len(taken) == len(self.end_model.got)
        self.lose(self.end_model.got, len(self.rings), TAKEN)
        self.end_model.got = []

    @rule(data=st.data())
    def start_again(self, data):
        self.numbers_are_right(range(len(self.values)))
        self.close()
        self.open(data)

    # -- what is found -----------------------------------------------------------------------------

    def expected(self):
        """For each number: None, it is there; or the error that says why not."""
        last = len(self.rings)
        if self.end_name == "disk":
            (self.background or self.end).flush()  # removes what is to go: else its thread does, at any time
        where = {n: (i, None) for i, model in enumerate(self.models) for n in model.items}
        if self.batch is not None:
            where.update((n, (last - 0.5, None)) for n in self.batch.held)
        if self.end is not None:
            removed = self.end.removed if self.end_name == "disk" else 0
            where.update((n, (last, REMOVED if q < removed else None)) for q, n in enumerate(self.end_model.got))
        elif self.end_model is not None:
            where.update((n, (last - 1, GONE)) for n in self.end_model.got)
        found = []
        for n in range(len(self.values)):
            i, why = self.fates.get(n) or where.get(n) or (last - 1, DROPPED)
            found.append(FED if any(1 <= j <= i for j in self.fed) else why)
        return found

    def numbers_are_right(self, numbers):
        history, expected = self.rings[0].history, self.expected()
        for n in numbers:
            if expected[n] is None:
                assert self.kind.number(history[n]) == self.values[n]
            else:
                with pytest.raises(RuntimeError if expected[n] == FED else IndexError, match=expected[n]):
                    history[n]

    @rule(data=st.data(), step=st.integers(1, 3))
    def look(self, data, step):
        end = len(self.values)
        start, stop = data.draw(st.tuples(st.integers(-3, end + 3), st.integers(-3, end + 3)))
        if -3 <= start < 0:
            start = max(start, -end)
        absolute = [n + end if n < 0 else n for n in (start, stop)]
        wrong = {why for why in self.expected()[absolute[0] : max(absolute[1], 0)] if why}
        if wrong:
            with pytest.raises((IndexError, RuntimeError), match="|".join(wrong)):
                self.rings[0].history[start:stop:step]
        else:
            found = self.rings[0].history[start:stop:step]
            assert self.kind.numbers(found) == self.values[absolute[0] : max(absolute[1], 0) : step]
            assert self.kind.dtype is None or found.dtype == self.kind.dtype.base

    @invariant()
    def all_that_is_there_is_right(self):
        if not hasattr(self, "rings"):
            return
        history, expected, end = self.rings[0].history, self.expected(), len(self.values)
        first = max([n + 1 for n, why in enumerate(expected) if why], default=0)
        assert (history.first, history.end, len(history)) == (first, end, end - first)
        assert self.kind.numbers(history[:]) == self.values[first:]
        assert self.kind.numbers(history.last(5)) == self.values[max(first, end - 5) :]
        self.numbers_are_right(range(max(0, end - 12), end))
        for n in (end, -end - 1):
            with pytest.raises(IndexError, match=NOT_THERE):
                history[n]


globals().update(one_for_each_kind(Chain, examples=0.12, steps=40, kinds=[KINDS[0], KINDS[1], KINDS[9], KINDS[11]]))


# -- one thing at a time ---------------------------------------------------------------------------


def test_what_a_folder_holds_comes_first(tmp_path):
    with ArrayRing(4, "i8", sink=DiskSink(tmp_path, segment_bytes=400)) as ring:
        ring.extend(range(100))
    hot = ArrayRing(4, "i8", sink=ArrayRing(16, "i8", sink=DiskSink(tmp_path, segment_bytes=400)))
    history = hot.history
    assert (history.first, history.end, len(history)) == (0, 100, 100)
    hot.extend(range(100, 200))
    assert (history.first, history.end) == (0, 200)
    assert history[:].tolist() == list(history) == list(range(200)) == np.asarray(history).tolist()
    assert list(reversed(history)) == list(range(200))[::-1]
    assert [block.tolist() for block in history.blocks(80, start=30)] == [
        list(range(30, 110)), list(range(110, 190)), list(range(190, 200)),
    ]
    assert history[-5:-3].tolist() == [195, 196] and history[190:1000:4].tolist() == [190, 194, 198]
    assert history.last(30).tolist() == list(range(170, 200)) and len(history.last(0)) == 0
    in_one_file = history[70:80]
    assert not in_one_file.flags.writeable and in_one_file.tolist() == SpillLog(tmp_path)[70:80].tolist()
    hot.close()


def test_nothing_was_pushed_yet():
    history = ArrayRing(4, ("f4", (2,))).history
    assert history[:].shape == history[5:2].shape == history.last(3).shape == (0, 2)
    assert len(history) == history.first == history.end == 0 and list(history) == []
    assert ObjectRing(2).history[:] == []
    with pytest.raises(IndexError, match="item -1 is not there: there were 0"):
        history[-1]


@pytest.mark.parametrize("make, name", [
    (lambda: FnSink(lambda block: None), "FnSink"),
    (lambda: ReduceSink(2, np.maximum, ArrayRing(8)), "ReduceSink"),
    (lambda: TeeSink(DropSink(), FnSink(lambda block: None)), "DropSink; .*FnSink"),
    (lambda: lambda block: None, "FnSink"),
])
def test_what_went_on_says_where_to(make, name):
    ring = ArrayRing(2, sink=make())
    ring.extend(range(5))
    with pytest.raises(IndexError, match=f"items 1 to 3 went on to a sink that can't be read back: {name}"):
        ring.history[1:4]
    assert ring.history.first == 3 and ring.history[:].tolist() == [3, 4]
    ring.close()


def test_a_class_that_defines_send_keeps_nothing():
    class Doubled(ArrayRing):
        def send(self, items):
            super().send(items * 2)

    class Plain(ArrayRing):
        pass

    for warm in (Doubled(8), Plain(8)):
        ring = ArrayRing(2, sink=warm)
        ring.extend(range(5))
        if isinstance(warm, Plain):
            assert ring.history[:].tolist() == [0, 1, 2, 3, 4]
        else:
            with pytest.raises(IndexError, match="went on to a sink that can't be read back: Doubled"):
                ring.history[0]


def test_blocks_between_numbers():
    ring = ArrayRing(4, sink=ArrayRing(20))
    ring.extend(range(10))
    blocks = ring.history.blocks
    assert [block.tolist() for block in blocks(2, start=-5)] == [[5, 6], [7, 8], [9]]
    assert [block.tolist() for block in blocks(3, start=1, stop=-4)] == [[1, 2, 3], [4, 5]]
    assert list(blocks(3, start=-11, stop=-12)) == list(blocks(start=10)) == []
    with pytest.raises(IndexError, match="item -11 is not there: there were 10 so far"):
        list(blocks(start=-11))


class NewSink(Sink):
    def send(self, items):
        """Like many a sink, it keeps what it is sent, but the package doesn't know how."""


class NewCollectSink(CollectSink):
    def send(self, items):
        super().send(np.flip(items))


class NoSink:
    def send(self, items):
        """An object with `send` is taken as an FnSink."""


@pytest.mark.parametrize("make, name", [(NewSink, "NewSink"), (NewCollectSink, "NewCollectSink"), (NoSink, "FnSink")])
@pytest.mark.parametrize("front", [lambda sink: sink, LockedSink, lambda sink: BatchSink(2, sink), TeeSink])
def test_a_sink_that_is_new_to_the_package(make, name, front):
    ring = ArrayRing(2, "i8", front(make()))
    ring.extend(range(8))
    with pytest.raises(IndexError, match=f"items 1 to 4 went on to a sink that can't be read back: {name}"):
        ring.history[1:4]
    assert ring.history.first == 6 and ring.history[:].tolist() == [6, 7]
    ring.close()


def test_two_rings_that_share_a_sink():
    warm = ArrayRing(100, "i8")
    shared = LockedSink(warm)
    warm.extend([-1, -2])
    one, two = ArrayRing(2, "i8", shared), ArrayRing(2, "i8", shared)
    one.extend(range(10, 15))
    assert one.history[:].tolist() == [-1, -2, 10, 11, 12, 13, 14]
    assert one.history[-3] == 12
    two.extend(range(20, 25))
    for ring in (one, two):
        assert ring.history.first == 5 and len(ring.history) == 2
        with pytest.raises(RuntimeError, match="others than this ArrayRing have fed the ArrayRing behind it"):
            ring.history[4]
    three = ArrayRing(2, "i8", shared)  # begins where they are
    three.extend([30, 31, 32])
    assert three.history[5:].tolist() == [20, 21, 22, 30, 31, 32]


def test_a_list_that_was_changed():
    sink = CollectSink()
    ring = ObjectRing(1, sink)
    ring.extend("abcd")
    assert ring.history[:] == list("abcd")
    sink.items.pop()
    with pytest.raises(RuntimeError, match="changed its list"):
        ring.history[0]
    sink.take()
    ring.push("e")
    assert ring.history.first == 3 and ring.history[:] == ["d", "e"]
    with pytest.raises(IndexError, match="items 0 to 3 were taken from a CollectSink"):
        ring.history[0:5]


def test_tee_has_what_any_of_its_sinks_has():
    warm, kept = ArrayRing(3, "i8"), CollectSink()
    warm.extend([-2, -1])
    kept.send(np.array([7, 8, 9], "i8"))
    ring = ArrayRing(2, "i8", TeeSink(lambda block: None, warm, kept))
    assert ring.history[:].tolist() == [-2, -1]
    ring.extend(range(2, 12))
    history = ring.history
    assert history[2:].tolist() == list(range(2, 12)) and history.first == 2
    with pytest.raises(IndexError, match=r"went on to .*FnSink; item 1 was dropped by .*; item 1 came before"):
        history[1]


def test_what_is_on_the_way_when_a_ring_is_made():
    batch = BatchSink(3, ArrayRing(8, "i8"))
    batch.send(np.arange(5))
    ring = ArrayRing(2, "i8", batch)
    ring.extend(range(5, 20))
    assert ring.history.end == 20 and ring.history.first == 10
    assert ring.history[:].tolist() == list(range(10, 20))


def test_what_a_tee_owes_is_there():
    flaky = Flaky(KINDS[2])
    ring = ArrayRing(2, "i4", TeeSink(FnSink(lambda block: None), ArrayRing(2, "i4", flaky)))
    ring.extend(range(4))
    flaky.budget = 0
    with pytest.raises(Boom):
        ring.extend([4, 5, 6])
    assert ring.history.end == 4
    assert ring.history[:].tolist() == [0, 1, 2, 3]
    owed = ring.history[2:3]
    owed[:] = 99  # a copy
    flaky.budget = None
    ring.extend([4, 5, 6])
    assert flaky.got == [0, 1, 2] and ring.history[3:].tolist() == [3, 4, 5, 6]


def test_background_is_waited_for():
    gate = threading.Event()
    kept = CollectSink()
    ring = ArrayRing(2, "i8", BackgroundSink(TeeSink(lambda block: gate.wait(), kept), 100))
    ring.extend(range(10))
    assert ring.history[-1] == 9 and not gate.is_set()  # what is in the ring is at hand
    threading.Timer(0.05, gate.set).start()
    assert ring.history[3] == 3 and gate.is_set()
    ring.push(10)
    assert list(ring.history) == list(range(11))
    ring.close()


def test_background_in_front_of_rings_and_disk(tmp_path):
    warm = ObjectRing(5, DiskSink(tmp_path, segment_bytes=200, sync="never"))
    hot = ObjectRing(3, BackgroundSink(warm, 7))
    for n in range(300):
        hot.push(str(n))
        if n % 3 == 0:
            at = n * 7 // 11
            assert hot.history[at] == str(at) and hot.history[max(0, n - 9) :] == [
                str(m) for m in range(max(0, n - 9), n + 1)
            ]
    assert list(hot.history) == [str(n) for n in range(300)]
    hot.close()


def test_an_error_of_the_background_is_left_to_the_producer():
    flaky = Flaky(KINDS[1])
    flaky.budget = 0
    kept = CollectSink()
    ring = ArrayRing(1, sink=BackgroundSink(TeeSink(flaky, kept), 100))
    ring.extend([0, 1, 2])
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"items 0 to 2 may wait in BackgroundSink.*raised: Boom\(\)"):
            ring.history[0:2]
    assert ring.history.first == 2
    flaky.budget = None
    with pytest.raises(Boom):
        ring.push(3)
    assert ring.history[:].tolist() == [0, 1, 2]
    ring.close()


def test_gaps_beyond_what_is_remembered():
    kept = CollectSink()
    ring = ObjectRing(1, kept)
    for n in range(0, 2 * 300, 2):
        ring.push(n)
        ring.pop()
        ring.extend([n + 1, None])
        ring.clear()
    end = 3 * 300
    assert ring.history.end == ring.history.first == end
    found = 0
    for n in range(end):
        if n % 3 == 1 and n >= end - 300:
            assert ring.history[n] == n // 3 * 2 + 1
        elif n >= end - 300:
            with pytest.raises(IndexError, match="popped from" if n % 3 == 0 else "cleared from"):
                ring.history[n]
        else:
            try:
                assert ring.history[n] == n // 3 * 2 + 1
                found += 1
            except RuntimeError as error:
                assert f"item {n} left an ObjectRing so long ago" in str(error) and not found
            except IndexError as error:
                assert re.search("popped from" if n % 3 == 0 else "cleared from", str(error))
    assert 20 < found < 50


def test_instances_of_a_record(tmp_path):
    @record
    @dataclass(frozen=True)
    class Point:
        x: int
        y: float

    ring = ArrayRing(2, Point, ArrayRing(2, Point, BatchSink(3, DiskSink(tmp_path))))
    points = [Point(n, n / 2) for n in range(12)]
    ring.extend(points)
    assert [ring.history[n] for n in range(12)] == list(ring.history) == points
    assert ring.history[2:11]["x"].tolist() == list(range(2, 11))
    ring.close()


@pytest.mark.slow
def test_removed_while_it_is_read(tmp_path, monkeypatch):
    """By the thread of the sink, between any two calls of a reader: an IndexError that says so, or the items."""
    may_sync = threading.Event()
    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (may_sync.wait(), fdatasync(fd)))
    for moment in itertools.count():
        may_sync.set()
        folder = tmp_path / str(moment)
        with ArrayRing(1, "i8", DiskSink(folder, segment_bytes=300, keep_bytes=1200, interval=3600)) as ring:
            for n in range(0, 400, 10):
                ring.extend(range(n, n + 10))
            ring.sink.flush()
            assert ring.history[-5:].tolist() == list(range(395, 400))
            may_sync.clear()
            first = ring.history.first
            segments = len(list(folder.glob("*.npy")))
            while len(list(folder.glob("*.npy"))) < segments + 2:  # begun, and what they push out is still there
                n = ring.stats.pushed
                ring.extend(range(n, n + 10))
            calls = itertools.count()

            def hooked(*args, calls=calls, moment=moment, sink=ring.sink, first=first):
                if next(calls) == moment:
                    may_sync.set()
                    while sink.removed == first:
                        time.sleep(0.001)
                return open_regular(*args)

            with monkeypatch.context() as patch:
                patch.setattr(blocks, "open_regular", hooked)
                try:
                    assert ring.history[first : ring.history.end].tolist() == list(range(first, ring.history.end))
                except IndexError as error:
                    assert f"items {first} to {ring.sink.removed} were removed by DiskSink" in str(error)
                assert ring.history[-5:].tolist() == list(range(ring.history.end - 5, ring.history.end))
            may_sync.set()
        if next(calls) <= moment:
            break
    assert moment > 2


def test_damage_is_told(tmp_path):
    ring = ArrayRing(1, "i8", DiskSink(tmp_path, sync="never"))
    ring.extend(range(50))
    ring.extend(range(50, 100))
    ring.flush()
    [file] = tmp_path.glob("*.npy")
    data = bytearray(file.read_bytes())
    data[-8 * 80] ^= 1
    file.write_bytes(data)
    assert ring.history[60] == 60
    with pytest.raises(ValueError, match="damaged"):
        ring.history[20]
    ring.close()


def test_closed_or_in_use(tmp_path):
    disk = DiskSink(tmp_path)
    warm = ArrayRing(2, "i8", disk)
    hot = ArrayRing(2, "i8", warm)
    hot.extend(range(8))
    disk.close()
    with pytest.raises(ValueError, match=r"DiskSink is closed; SpillLog\(.* reads"):
        hot.history[0]
    assert hot.history[4] == 4
    hot.clear()
    warm.clear()
    hot.close()

    asked = []
    ring = ArrayRing(2, sink=lambda block: asked.append(outcome_of(lambda: ring.history[0])))
    ring.extend([0, 1])
    ring.push(2)
    assert asked == [RuntimeError]
    ring.close()
    assert "up to 3" in repr(ring.history)
    for call in (lambda: ring.history[0], lambda: ring.history[0:0], lambda: len(ring.history)):
        with pytest.raises(ValueError, match="closed"):
            call()


def outcome_of(call):
    try:
        return call()
    except Exception as error:
        return type(error)


def test_a_ring_with_a_history_goes_as_any():
    flaky = Flaky(KINDS[1])
    ring = ArrayRing(4, sink=flaky)
    ring.extend(range(3))
    history = ring.history
    assert history[1] == 1
    del ring
    assert history[1] == 1 and flaky.got == []
    del history
    assert flaky.got == [0, 1, 2]


def test_what_is_refused():
    ring = ArrayRing(4)
    ring.extend(range(4))
    history = ring.history
    for key in ("1", 1.0, None, (1, 2)):
        with pytest.raises(TypeError, match="must be integers or slices"):
            history[key]
    for step in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            history[::step]
    with pytest.raises(IndexError, match=f"item {10**30} is not there yet: there were 4"):
        history[10**30]
    assert len(history[10**30 :]) == 0 and len(history[: 10**30]) == 4
    with pytest.raises(IndexError, match="item -9 is not there"):
        history[-9:]
    with pytest.raises(ValueError, match="negative"):
        history.last(-1)
    with pytest.raises(ValueError, match="at least 1"):
        list(history.blocks(0))
    with pytest.raises(TypeError):
        History(None)
    with pytest.raises(TypeError):
        History.__new__(History)
    with pytest.raises(RuntimeError, match="never initialised"):
        ArrayRing.__new__(ArrayRing).history[:]
    assert repr(history) == "<History: float64 items up to 4>"
