"""Rings and sinks in plain Python, for the tests to compare with."""
from queue import Full

import spill_ring


class Boom(Exception):
    """What a test's sink raises."""

    @classmethod
    def after(cls, n_taken):
        """One that says that so many items were taken all the same."""
        error = cls()
        error.n_taken = n_taken
        return error


class SinkModel:
    """Takes `budget` items, then raises."""

    def __init__(self):
        self.got = []
        self.budget = None  # None: no end

    def send(self, items):
        """How many it takes; the caller raises Boom if that is not all."""
        taken = len(items) if self.budget is None else min(self.budget, len(items))
        self.got += items[:taken]
        if self.budget is not None:
            self.budget -= taken
        return taken


class RingModel:
    def __init__(self, capacity, sink=None):
        self.capacity = capacity
        self.sink = sink
        self.items = []
        self.pushed = self.popped = self.spilled = self.dropped = 0

    def spill(self, count, sink):
        taken = sink.send(self.items[:count])
        self.spilled += taken
        del self.items[:taken]
        if taken < count:
            raise Boom

    def evict(self, count):
        if self.sink is None:
            self.dropped += count
            del self.items[:count]
        elif count:
            self.spill(count, self.sink)

    def extend(self, new):
        excess = max(0, len(self.items) + len(new) - self.capacity)
        passed = max(0, excess - len(self.items))
        self.evict(min(excess, len(self.items)))
        if passed:
            if self.sink is None:
                taken = passed
                self.dropped += taken
            else:
                taken = self.sink.send(new[:passed])
                self.spilled += taken
            self.pushed += taken
            if taken < passed:
                raise Boom
        self.items += new[passed:]
        self.pushed += len(new) - passed

    def extend_one_by_one(self, new):
        for item in new:
            self.extend([item])

    def make_room(self, count):
        self.evict(max(0, len(self.items) + count - self.capacity))

    def pop_many(self, count):
        popped = self.items[:count]
        del self.items[:count]
        self.popped += len(popped)
        return popped

    def drain(self, sink):
        count = len(self.items)
        self.spill(count, sink)
        return count

    def flush(self):
        count = len(self.items) if self.sink is not None else 0
        self.evict(count)
        return count

    def clear(self):
        self.dropped += len(self.items)
        self.items.clear()

    @property
    def stats(self):
        return (self.pushed, self.popped, self.spilled, self.dropped)


class Flaky(spill_ring.Sink):
    """Takes `budget` items, then raises; of a block it takes a part, and says so."""

    def __init__(self, kind):
        self.kind = kind
        self.got = []
        self.budget = None
        self.flushed = 0

    def send(self, items):
        if self.kind.dtype is None:
            items = [items]
        else:
            assert (items.flags.owndata and items.flags.writeable and items.base is None) or items.ndim > 1
        taken = len(items) if self.budget is None else min(self.budget, len(items))
        self.got += self.kind.numbers(items[:taken])
        if self.budget is not None:
            self.budget -= taken
        if taken < len(items):
            raise Boom.after(taken)

    def flush(self):
        self.flushed += 1


def outcome(call, *args, **kwargs):
    """What a call returns, or that it raised Boom or Full."""
    try:
        return call(*args, **kwargs)
    except (Boom, Full) as error:
        return type(error)


class SpscModel(RingModel):
    """An SpscRing in one thread. What the consumer has claimed and not finished is `held`: it comes first, and
    can't be evicted any more."""

    def __init__(self, capacity, sink=None, overflow="spill", evict_block=1):
        super().__init__(capacity, sink)
        self.overflow = overflow
        self.evict_block = evict_block
        self.held = []

    def __len__(self):
        return len(self.held) + len(self.items)

    @property
    def room(self):
        return self.capacity - len(self.items)

    def extend(self, new):
        """Without a stalled consumer; raises Full, as the ring does with ``timeout=0``."""
        if self.overflow != "spill" and len(new) > self.room:
            if self.overflow == "block":
                super().extend(new[: self.room])
            raise Full
        excess = len(new) - self.room
        if 0 < excess < self.evict_block:
            self.evict(min(self.evict_block, len(self.items)))
        super().extend(new)

    def make_room(self, count):
        if count > self.room:
            self.evict(min(max(count - self.room, self.evict_block), len(self.items)))

    def follow(self, new, pushed, left):
        """Take over what a ring did beside a stalled consumer, when items may go straight to the sink."""
        items = self.items + new[:pushed]
        assert max(0, len(items) - self.capacity) <= left <= len(items)
        if self.sink is None:
            self.dropped += left
        else:
            assert self.sink.send(items[:left]) == left
            self.spilled += left
        self.items = items[left:]
        self.pushed += pushed

    def hold(self, count):
        """Claim up to `count`, unless something is held; that comes first."""
        if not self.held:
            self.held = self.items[:count]
            del self.items[:count]
        return self.held[:count]

    def finish(self, count):
        del self.held[:count]

    def pop_many(self, count):
        popped = self.held[:count]
        popped += self.items[: count - len(popped)]
        del self.items[: len(popped) - len(self.held[:count])]
        del self.held[:count]
        self.popped += len(popped)
        return popped

    def drain(self, sink):
        count = 0
        while self.hold(len(self.items)) or self.held:
            taken = sink.send(list(self.held))
            self.finish(taken)
            self.spilled += taken
            count += taken
            if self.held:
                raise Boom
        return count

    def flush(self):
        return super().flush() if self.overflow == "spill" else 0

    def clear(self):
        self.dropped += len(self.held)
        self.held.clear()
        super().clear()
