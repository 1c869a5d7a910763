"""Every call of every kind of ring, in any order, with sinks that fail at any moment."""
import gc

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import spill_ring
from helpers.machines import one_for_each_kind
from helpers.model import Boom, Flaky, RingModel, SinkModel, outcome
from spill_ring._core.storage import use_mirror


class RingMachine(RuleBasedStateMachine):
    """One ring against the model: the same content, the same counts, the same outcome of each call."""

    kind = None  # set in the subclasses

    @initialize(capacity=st.integers(1, 9), sink=st.booleans(), mirror=st.booleans())
    def start(self, capacity, sink, mirror):
        use_mirror(mirror)
        self.next = 0
        self.open(capacity, sink)

    def open(self, capacity, sink):
        self.sink = Flaky(self.kind) if sink else None
        self.sink_model = SinkModel() if sink else None
        self.ring = self.kind.ring(capacity, self.sink)
        self.model = RingModel(capacity, self.sink_model)

    def teardown(self):
        use_mirror(True)
        if hasattr(self, "ring"):
            if self.sink is not None:
                self.sink.budget = None
            self.ring.close()

    def fresh(self, count):
        numbers = list(range(self.next, self.next + count))
        self.next += count
        return numbers

    @precondition(lambda self: self.sink is not None)
    @rule(budget=st.none() | st.integers(0, 12))
    def set_budget(self, budget):
        self.sink.budget = self.sink_model.budget = budget

    @rule()
    def push(self):
        [n] = self.fresh(1)
        assert outcome(self.ring.push, self.kind.item(n)) is outcome(self.model.extend, [n])

    @rule(count=st.integers(0, 25), form=st.sampled_from(["block", "list", "strided", "generator"]))
    def extend(self, count, form):
        numbers = self.fresh(count)
        block = self.kind.block(numbers)
        model = self.model.extend
        if form == "list":
            block = [self.kind.item(n) for n in numbers]
        elif form == "strided" and self.kind.dtype is not None:
            block = np.repeat(block, 2, axis=0)[::2]
        elif form == "generator":
            block = (self.kind.item(n) for n in numbers)
            model = self.model.extend_one_by_one
        assert outcome(self.ring.extend, block) is outcome(model, numbers)

    @rule()
    def try_push(self):
        [n] = self.fresh(1)
        fits = len(self.model.items) < self.model.capacity
        assert self.ring.try_push(self.kind.item(n)) is fits
        if fits:
            self.model.extend([n])

    @rule(count=st.integers(0, 12))
    def try_extend(self, count):
        numbers = self.fresh(count)
        fitting = min(count, self.model.capacity - len(self.model.items))
        assert self.ring.try_extend(self.kind.block(numbers)) == fitting
        self.model.extend(numbers[:fitting])

    @rule()
    def send(self):
        [n] = self.fresh(1)
        item = self.kind.item(n) if self.kind.dtype is None else self.kind.block([n])
        assert outcome(self.ring.send, item) is outcome(self.model.extend, [n])

    @precondition(lambda self: self.kind.dtype is not None)
    @rule(reserve=st.integers(0, 9), commit=st.none() | st.integers(0, 9), fail=st.booleans())
    def reserve(self, reserve, commit, fail):
        if reserve > self.model.capacity:
            with pytest.raises(ValueError):
                self.ring.reserve(reserve).__enter__()
            return
        numbers = self.fresh(reserve)
        room = outcome(self.model.make_room, reserve)
        reservation = self.ring.reserve(reserve)
        block = outcome(reservation.__enter__)
        assert (block is Boom) == (room is Boom)
        if block is Boom:
            return
        for call in (self.ring.pop_many, self.ring.view, self.ring.flush, lambda: self.ring.push(self.kind.item(0))):
            with pytest.raises(RuntimeError, match="reserve"):
                call()
        if len(block):
            block[...] = self.kind.block(numbers)
        committed = reserve
        if commit is not None:
            if commit <= reserve:
                committed = commit
                self.ring.commit(commit)
            else:
                with pytest.raises(ValueError):
                    self.ring.commit(commit)
        if fail:
            if commit is None or commit > reserve:
                committed = 0
            reservation.__exit__(ValueError, ValueError(), None)
        else:
            reservation.__exit__(None, None, None)
        self.model.extend(numbers[:committed])

    @rule()
    def pop(self):
        expected = self.model.pop_many(1)
        if expected:
            assert self.kind.number(self.ring.pop()) == expected[0]
        else:
            with pytest.raises(IndexError):
                self.ring.pop()
            assert self.ring.pop("default") == "default"
            assert self.ring.pop(None) is None

    @rule(count=st.none() | st.integers(0, 12))
    def pop_many(self, count):
        popped = self.ring.pop_many() if count is None else self.ring.pop_many(count)
        assert self.kind.numbers(popped) == self.model.pop_many(self.model.capacity if count is None else count)
        if self.kind.dtype is not None:
            assert popped.flags.owndata and popped.flags.writeable

    @precondition(lambda self: self.kind.dtype is not None)
    @rule(count=st.integers(1, 12), strided=st.booleans())
    def pop_into(self, count, strided):
        out = np.zeros(2 * count, self.kind.dtype)[:: 2 if strided else 1][:count]
        expected = self.model.pop_many(count)
        assert self.ring.pop_into(out) == len(expected)
        assert self.kind.numbers(out[: len(expected)]) == expected

    @rule(count=st.integers(0, 12))
    def latest(self, count):
        items = self.model.items
        assert self.kind.numbers(self.ring.latest(count)) == items[max(0, len(items) - count) :]

    @rule(start=st.none() | st.integers(-12, 12), stop=st.none() | st.integers(-12, 12), step=st.integers(-3, 3))
    def getitem(self, start, stop, step):
        items = self.model.items
        if step == 0:
            with pytest.raises(ValueError):
                self.ring[start:stop:step]
        else:
            assert self.kind.numbers(self.ring[start:stop:step]) == items[start:stop:step]
        if start is not None and -len(items) <= start < len(items):
            assert self.kind.number(self.ring[start]) == items[start]
        elif start is not None:
            with pytest.raises(IndexError):
                self.ring[start]

    @precondition(lambda self: self.kind.dtype is not None)
    @rule()
    def view(self):
        view = self.ring.view()
        assert self.kind.numbers(view) == self.model.items
        assert view.flags.c_contiguous and not view.flags.writeable
        assert np.shares_memory(view, np.asarray(self.ring, copy=False)) or not len(view)
        assert not np.shares_memory(view, np.asarray(self.ring))

    @rule()
    def iterate_and_change(self):
        iterator = iter(self.ring)
        if self.model.items:
            next(iterator)
            self.pop()
            with pytest.raises(RuntimeError, match="changed"):
                next(iterator)

    @rule()
    def drain(self):
        target = spill_ring.CollectSink()
        model_target = SinkModel()
        assert self.ring.drain(target) == self.model.drain(model_target)
        assert self.kind.numbers(target.items) == model_target.got

    @rule(budget=st.integers(0, 9))
    def drain_into_flaky(self, budget):
        target, model_target = Flaky(self.kind), SinkModel()
        target.budget = model_target.budget = budget
        assert outcome(self.ring.drain, target) == outcome(self.model.drain, model_target)
        assert target.got == model_target.got

    @rule()
    def flush(self):
        before = self.sink and self.sink.flushed
        flushed = outcome(self.ring.flush)
        assert flushed == outcome(self.model.flush)
        if self.sink is not None and flushed is not Boom:
            assert self.sink.flushed == before + 1

    @rule()
    def clear(self):
        self.ring.clear()
        self.model.clear()

    @rule(capacity=st.integers(1, 9), sink=st.booleans())
    def close_and_start_again(self, capacity, sink):
        closed = outcome(self.ring.close)
        flushed = outcome(self.model.flush)
        assert (closed is Boom) == (flushed is Boom)
        if closed is Boom:
            return  # it is still open, and `agrees` looks at what it holds
        self.model.clear()
        assert self.ring.closed and self.ring.stats == self.model.stats and len(self.ring) == 0
        if self.sink is not None:
            assert self.sink.closed and self.sink.got == self.sink_model.got
        self.ring.close()
        for call in (self.ring.pop, self.ring.flush, self.ring.clear, lambda: self.ring.push(self.kind.item(0))):
            with pytest.raises(ValueError, match="closed"):
                call()
        self.open(capacity, sink)

    @rule()
    def collect_garbage(self):
        gc.collect(0)

    @invariant()
    def agrees(self):
        if not hasattr(self, "ring"):
            return
        items = self.model.items
        assert self.kind.numbers(self.ring) == items
        assert self.kind.numbers(reversed(self.ring)) == items[::-1]
        assert len(self.ring) == len(items)
        assert bool(self.ring) == bool(items)
        assert self.ring.is_empty == (not items)
        assert self.ring.is_full == (len(items) == self.ring.capacity)
        stats = self.ring.stats
        assert stats == self.model.stats
        assert stats.pushed == stats.popped + stats.spilled + stats.dropped + len(self.ring)
        if items:
            assert self.kind.number(self.ring.peek()) == items[0]
            assert self.kind.number(self.ring.peek_back()) == items[-1]
            assert self.kind.item(items[-1]) in self.ring
            assert self.kind.item(self.next + 1) not in self.ring
        else:
            for call in (self.ring.peek, self.ring.peek_back):
                with pytest.raises(IndexError):
                    call()
        assert self.ring.__class__.__name__ in repr(self.ring)
        if self.sink is not None:
            assert self.sink.got == self.sink_model.got


globals().update(one_for_each_kind(RingMachine, examples=0.3, steps=60))
