"""Rings and sinks in plain Python, for the tests to compare with."""


class Boom(Exception):
    """What a test's sink raises."""


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
