"""Whatever stands behind a ring and fails whenever it likes: each item is in one place, in order."""

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import spill_ring
from helpers.kinds import KINDS
from helpers.machines import one_for_each_kind
from helpers.model import Flaky, outcome


class Chain(RuleBasedStateMachine):
    """A ring, up to three sinks in a row, and a flaky one at the end."""

    kind = None

    @initialize(
        capacity=st.integers(1, 6),
        shape=st.lists(st.sampled_from(["ring", "batch", "locked", "tee last", "tee first"]), max_size=3),
        size=st.integers(1, 7),
    )
    def start(self, capacity, shape, size):
        self.next = 0
        self.flaky = Flaky(self.kind)
        self.branches = []  # what the other sink of each tee collects
        sink = self.flaky
        for part in shape:
            if part == "ring":
                sink = self.kind.ring(size, sink)
            elif part == "batch":
                sink = spill_ring.BatchSink(size, sink)
            elif part == "locked":
                sink = spill_ring.LockedSink(sink)
            elif part == "tee last":  # the branch that fails comes last: the tee owes it
                self.branches.append(spill_ring.CollectSink())
                sink = spill_ring.TeeSink(self.branches[-1], sink)
            else:  # it comes first: it decides
                self.branches.append(spill_ring.CollectSink())
                sink = spill_ring.TeeSink(sink, self.branches[-1])
        self.ring = self.kind.ring(capacity, sink)

    def fresh(self, count):
        numbers = list(range(self.next, self.next + count))
        self.next += count
        return numbers

    def sent(self, call, numbers, item):
        """Push by `call`; what the ring took is what counts as pushed, the rest stays with the caller."""
        before = self.ring.stats.pushed
        outcome(call, item)
        self.next = numbers[0] + self.ring.stats.pushed - before if numbers else self.next

    @rule(budget=st.none() | st.integers(0, 15))
    def set_budget(self, budget):
        self.flaky.budget = budget

    @rule()
    def push(self):
        numbers = self.fresh(1)
        self.sent(self.ring.push, numbers, self.kind.item(numbers[0]))

    @rule(count=st.integers(0, 30))
    def extend(self, count):
        numbers = self.fresh(count)
        self.sent(self.ring.extend, numbers, self.kind.block(numbers))

    @rule()
    def flush(self):
        outcome(self.ring.flush)

    @invariant()
    def each_item_is_in_one_place(self):
        if not hasattr(self, "ring"):
            return
        pushed = list(range(self.ring.stats.pushed))
        resident = self.kind.numbers(self.ring)
        spilled = pushed[: len(pushed) - len(resident)]
        assert pushed[len(spilled) :] == resident
        assert self.ring.stats.spilled == len(spilled)
        # What the end got is a prefix, and nothing is missing between it and the next place.
        assert self.flaky.got == spilled[: len(self.flaky.got)]
        for branch in self.branches:
            got = self.kind.numbers(branch.items)
            assert got == spilled[: len(got)]

    def teardown(self):
        if not hasattr(self, "ring"):
            return
        # With the failure gone, all of it arrives, once and in order, at the end and in each branch.
        self.flaky.budget = None
        pushed = list(range(self.ring.stats.pushed))
        self.ring.close()
        assert self.flaky.got == pushed
        for branch in self.branches:
            assert self.kind.numbers(branch.items) == pushed
        assert self.ring.stats.pushed == self.ring.stats.spilled


globals().update(one_for_each_kind(Chain, examples=0.6, steps=40, kinds=[KINDS[0], KINDS[1], KINDS[10]]))
