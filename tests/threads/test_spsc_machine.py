"""Every call of both sides of an SpscRing in one thread, in any order, with sinks that fail at any moment."""
import gc
from queue import Full

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import spill_ring
from helpers.machines import one_for_each_kind
from helpers.model import Boom, Flaky, SinkModel, SpscModel, outcome
from spill_ring import SpscRing
from spill_ring._core.storage import use_mirror


class SpscMachine(RuleBasedStateMachine):
    """One ring against the model: the same counts, the same outcome of each call, and at last the same items."""

    kind = None  # set in the subclasses

    @initialize(mirror=st.booleans(), data=st.data())
    def start(self, mirror, data):
        use_mirror(mirror)
        self.next = 0
        self.open(data)

    def open(self, data):
        capacity = data.draw(st.integers(1, 9))
        at_once = data.draw(st.just(1) | st.integers(1, capacity))
        overflow = data.draw(st.sampled_from(["spill", "reject", "block"]))
        has_sink = data.draw(st.booleans())
        self.sink = Flaky(self.kind) if has_sink else None
        self.sink_model = SinkModel() if has_sink else None
        self.ring = SpscRing(capacity, self.kind.dtype, self.sink, overflow=overflow, evict_block=at_once)
        self.model = SpscModel(capacity, self.sink_model, overflow, at_once)
        self.at_once = {"timeout": 0} if overflow == "block" else {}
        self.closed = False

    def teardown(self):
        use_mirror(True)
        if hasattr(self, "ring"):
            self.finish_off()

    def finish_off(self):
        """The end of every example: what is left comes out, in order."""
        if self.sink is not None:
            self.sink.budget = self.sink_model.budget = None
        self.ring.close()
        assert self.kind.numbers(self.ring.pop_many()) == self.model.pop_many(len(self.model))
        assert len(self.ring.pop_many()) == 0 and self.ring.ended
        assert self.ring.stats == self.model.stats
        assert self.sink is None or (self.sink.closed and self.sink.got == self.sink_model.got)

    def fresh(self, count):
        numbers = list(range(self.next, self.next + count))
        self.next += count
        return numbers

    def push_both(self, call, model, block, numbers):
        """The same on both sides; beside a stalled consumer the model follows what the ring did."""
        if self.closed:
            with pytest.raises(ValueError, match="closed"):
                call(block)
        elif self.model.held and self.model.overflow == "spill":
            before = self.ring.stats
            result = outcome(call, block)
            after = self.ring.stats
            pushed = after.pushed - before.pushed
            self.model.follow(numbers, pushed, sum(after[2:]) - sum(before[2:]))
            assert pushed == len(numbers) if result is None else result is Boom and self.sink.budget == 0
        else:
            assert outcome(call, block) == outcome(model, numbers)

    @precondition(lambda self: self.sink is not None)
    @rule(budget=st.none() | st.integers(0, 12))
    def set_budget(self, budget):
        self.sink.budget = self.sink_model.budget = budget

    @rule()
    def push(self):
        numbers = self.fresh(1)
        self.push_both(
            lambda item: self.ring.push(item, **self.at_once), self.model.extend, self.kind.item(numbers[0]), numbers
        )

    @rule(count=st.integers(0, 25), form=st.sampled_from(["block", "list", "strided", "generator"]))
    def extend(self, count, form):
        numbers = self.fresh(count)
        block = self.kind.block(numbers)
        model = self.model.extend
        if form == "list":
            block = [self.kind.item(n) for n in numbers]
        elif form == "strided" and self.kind.dtype is not None:
            block = np.repeat(block, 2, axis=0)[::2]
        elif form == "generator" and not self.closed:
            block = (self.kind.item(n) for n in numbers)
            model = self.model.extend_one_by_one
        self.push_both(lambda items: self.ring.extend(items, **self.at_once), model, block, numbers)

    @rule(count=st.integers(0, 12), form=st.sampled_from(["block", "generator", "one"]))
    def try_extend(self, count, form):
        count = 1 if form == "one" else count
        numbers = self.fresh(count)
        call, block = self.ring.try_extend, self.kind.block(numbers)
        if form == "generator":
            block = (self.kind.item(n) for n in numbers)
        elif form == "one":
            call, block = self.ring.try_push, self.kind.item(numbers[0])
        if self.closed:
            with pytest.raises(ValueError, match="closed"):
                call(block)
            return
        taken = call(block)
        if self.model.held and self.model.overflow == "spill":
            self.model.follow(numbers, taken, 0)
        else:
            assert taken == min(count, self.model.room)
            self.model.extend(numbers[:taken])

    @rule()
    def send(self):
        if self.model.overflow == "block" and not self.model.room:
            return  # it would wait
        numbers = self.fresh(1)
        item = self.kind.item(numbers[0]) if self.kind.dtype is None else self.kind.block(numbers)
        self.push_both(self.ring.send, self.model.extend, item, numbers)

    @precondition(lambda self: self.kind.dtype is not None and not self.closed)
    @rule(reserve=st.integers(0, 9), commit=st.none() | st.integers(0, 9), fail=st.booleans())
    def reserve(self, reserve, commit, fail):
        if reserve > self.model.capacity:
            with pytest.raises(ValueError):
                self.ring.reserve(reserve).__enter__()
            return
        if reserve > self.model.room and self.model.overflow == "block":
            return
        numbers = self.fresh(reserve)
        reservation = self.ring.reserve(reserve)
        before = self.ring.stats
        block = outcome(reservation.__enter__)
        if self.model.held and self.model.overflow == "spill":
            self.model.follow([], 0, sum(self.ring.stats[2:]) - sum(before[2:]))
        elif self.model.overflow == "spill":
            room = outcome(self.model.make_room, reserve)
            assert (block is Boom) == (room is Boom)
        else:
            assert (block is Full) == (reserve > self.model.room)
        if block is Boom or block is Full:
            return
        for call in (self.ring.close, lambda: self.ring.push(self.kind.item(0)), lambda: self.ring.try_extend([])):
            with pytest.raises(RuntimeError, match="reserve"):
                call()
        if len(block):
            block[...] = self.kind.block(numbers)
        before = self.ring.stats
        committed = 0 if fail else reserve
        result = None
        if commit is not None and commit <= reserve:
            committed = commit
            result = outcome(self.ring.commit, commit)
        elif commit is not None:
            with pytest.raises(ValueError):
                self.ring.commit(commit)
        ended = outcome(reservation.__exit__, *(3 * [ValueError] if fail else 3 * [None]))
        assert ended is None or (ended is Boom and (commit is None or commit > reserve))
        after = self.ring.stats
        self.model.follow(numbers[:committed], after.pushed - before.pushed, sum(after[2:]) - sum(before[2:]))
        assert after.pushed - before.pushed == committed or Boom in (result, ended)

    @rule()
    def pop(self):
        expected = self.model.pop_many(1)
        if expected:
            assert self.kind.number(self.ring.pop()) == expected[0]
        else:
            with pytest.raises(IndexError, match="closed" if self.closed else "empty"):
                self.ring.pop()
            assert self.ring.pop("default", timeout=0) == "default"
            assert self.ring.pop(None) is None

    @rule(count=st.none() | st.integers(0, 12))
    def pop_many(self, count):
        popped = self.ring.pop_many() if count is None else self.ring.pop_many(count)
        assert self.kind.numbers(popped) == self.model.pop_many(len(self.model) if count is None else count)
        if self.kind.dtype is not None:
            assert popped.flags.owndata and popped.flags.writeable

    @precondition(lambda self: self.kind.dtype is not None)
    @rule(count=st.integers(1, 12), strided=st.booleans())
    def pop_into(self, count, strided):
        out = np.zeros(2 * count, self.kind.dtype)[:: 2 if strided else 1][:count]
        expected = self.model.pop_many(count)
        assert self.ring.pop_into(out) == len(expected)
        assert self.kind.numbers(out[: len(expected)]) == expected

    @rule(count=st.none() | st.integers(0, 9), fail=st.booleans())
    def read(self, count, fail):
        loan = self.ring.read() if count is None else self.ring.read(count)
        try:
            with loan as block:
                numbers = self.kind.numbers(block)
                assert (not numbers) == (count == 0 or not len(self.model))
                assert numbers == self.model.hold(len(numbers))
                for call in (self.ring.pop, self.ring.clear, self.ring.wait, lambda: self.ring.read().__enter__()):
                    with pytest.raises(RuntimeError, match="read"):
                        call()
                if self.kind.dtype is not None:
                    assert not block.flags.writeable
                if fail:
                    raise Boom
        except Boom:
            return
        self.model.popped += len(numbers)
        self.model.finish(len(numbers))

    @rule(count=st.integers(0, 9))
    def wait(self, count):
        if count > self.model.capacity:
            with pytest.raises(ValueError, match="at most"):
                self.ring.wait(count)
        else:
            assert self.ring.wait(count, 0) == (count <= len(self.model))

    @rule()
    def drain(self):
        target, model_target = spill_ring.CollectSink(), SinkModel()
        assert self.ring.drain(target) == self.model.drain(model_target)
        assert self.kind.numbers(target.items) == model_target.got

    @rule(budget=st.integers(0, 9))
    def drain_into_flaky(self, budget):
        target, model_target = Flaky(self.kind), SinkModel()
        target.budget = model_target.budget = budget
        assert outcome(self.ring.drain, target) == outcome(self.model.drain, model_target)
        assert target.got == model_target.got

    @precondition(lambda self: not self.closed)
    @rule()
    def flush(self):
        before = self.sink and self.sink.flushed
        flushed = outcome(self.ring.flush)
        assert flushed == outcome(self.model.flush)
        if self.sink is not None and flushed is not Boom:
            assert self.sink.flushed == before + 1

    @precondition(lambda self: self.closed)
    @rule()
    def flush_after_close(self):
        if self.sink is None or self.sink.closed:
            with pytest.raises(ValueError, match="closed"):
                self.ring.flush()
            return
        flushed = outcome(self.ring.flush)
        assert flushed == outcome(self.model.drain, self.sink_model)
        assert self.sink.closed == (flushed is not Boom)

    @rule()
    def clear(self):
        self.ring.clear()
        self.model.clear()

    @rule()
    def close(self):
        self.ring.close()
        self.closed = True

    @rule(data=st.data())
    def start_again(self, data):
        self.finish_off()
        self.open(data)

    @rule()
    def collect_garbage(self):
        gc.collect(0)

    @invariant()
    def agrees(self):
        if not hasattr(self, "ring"):
            return
        count = len(self.model)
        assert len(self.ring) == count
        assert bool(self.ring) == (count > 0)
        assert self.ring.is_empty == (count == 0)
        assert self.ring.is_full == (count >= self.ring.capacity)
        assert self.ring.closed == self.closed
        assert self.ring.ended == (self.closed and count == 0)
        stats = self.ring.stats
        assert stats == self.model.stats
        assert stats.pushed == stats.popped + stats.spilled + stats.dropped + len(self.ring)
        assert f"{count} of {self.model.capacity}" in repr(self.ring)
        if self.sink is not None:
            assert self.sink.got == self.sink_model.got


globals().update(one_for_each_kind(SpscMachine, examples=0.25, steps=50))
