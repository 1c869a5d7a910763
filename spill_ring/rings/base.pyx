"""What every one-thread ring has: positions, accounting, the sink, the sequence protocol, flush and close."""
cimport cython
from libc.limits cimport LLONG_MAX
from libc.stdlib cimport free, malloc

from spill_ring._core.arguments cimport count_of
from spill_ring._core.chain cimport begin_init, drop_user, may_close_unflushed
from spill_ring._core.cpython cimport PyIndex_Check, PyNumber_AsSsize_t, Py_ReprEnter, Py_ReprLeave
from spill_ring._core.lifecycle cimport flush_at_exit, warn_lost
from spill_ring._core.guard cimport SR_WINDOW, SR_CLOSED, SR_MAKING, SR_NEW, SR_OPEN, sr_add_fetch, sr_state_load
from spill_ring._core.sink cimport DropSink, Sink, trace_sink
from spill_ring._core.status cimport raise_abstract
from spill_ring._core.tracing cimport Tracer
from spill_ring.sinks.function cimport as_sink

from collections import namedtuple


Stats = namedtuple("Stats", "pushed popped spilled dropped", module="spill_ring.rings.base")
Stats.__doc__ = """Counts of items since a ring was made; ``pushed == popped + spilled + dropped + len(ring)``."""
Stats.pushed.__doc__ = "Taken from the caller."
Stats.popped.__doc__ = "Removed by the caller."
Stats.spilled.__doc__ = "Taken by a sink: evicted, flushed or drained."
Stats.dropped.__doc__ = "Evicted without a sink, or cleared."


cdef class Ring(LendingSink):
    """What `ObjectRing` and `ArrayRing` share. Not made by hand: use those, or `SpillRing`."""

    def __cinit__(self, *args, **kwargs):
        self.state = SR_NEW

    def __dealloc__(self):
        free(self.older)

    def __init__(self):
        raise TypeError("Ring is what rings share; make an ObjectRing, an ArrayRing or a SpillRing")

    cdef int start(self, Py_ssize_t size, object dtype, object sink) except -1:
        cdef Sink target = None if sink is None else as_sink(sink)
        cdef list history_origins = []
        if target is not None:
            target.bind(dtype)
            trace_sink(target, OriginFinder.into(history_origins))
        begin_init(self, target)  # last, since all of the above may run Python
        self.size = size
        self.item_type = dtype
        self.itemsize = sizeof(void *) if dtype is None else dtype.itemsize
        self.is_bound = True
        self.sink_as_given = sink
        self.history_origins = history_origins
        self.target = None if type(target) is DropSink else target  # dropping needs no call
        self.limit = LLONG_MAX if self.target is None else self.size
        if self.target is not None:
            flush_at_exit(self)
        return 0

    cdef int write_new(self, const void *items, Py_ssize_t count) except -1 nogil:
        """Write `count` new items, for which there is room, and move the tail."""
        return raise_abstract(self, "write_new")

    cdef int forward_new(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        """Send new items on to the ring's sink."""
        return raise_abstract(self, "forward_new")

    cdef int send_oldest(self, Sink sink, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        """Send the oldest `count` to a sink, without moving the head."""
        return raise_abstract(self, "send_oldest")

    cdef int drop_oldest(self, Py_ssize_t count) except -1 nogil:
        """Drop the oldest `count`, and move the head."""
        return raise_abstract(self, "drop_oldest")

    cdef object item(self, long long position):
        """A copy of the item at a position."""
        raise_abstract(self, "item")

    cdef object copy(self, long long position, Py_ssize_t count, Py_ssize_t step):
        """A copy of `count` items from a position on."""
        raise_abstract(self, "copy")

    cdef void begin_gap(self, long long start, int cause) noexcept nogil:
        """Begin a gap. The one before joins the older ones, unless it is empty."""
        cdef gap *slot
        if self.last.end > self.last.start:
            if self.older == NULL:
                self.older = <gap *>malloc(GAPS_REMEMBERED * sizeof(gap))
            if self.older == NULL:
                self.known_from = self.last.end
            else:
                slot = self.older + self.gaps % GAPS_REMEMBERED
                if self.gaps >= GAPS_REMEMBERED:
                    self.known_from = slot.end
                slot[0] = self.last
                self.gaps += 1
        self.last = gap(start, start, cause)

    cdef int prepare(self, Py_ssize_t count) except -1 nogil:
        """Allocate what `drop_oldest` needs, which must not fail once a sink has taken the items."""
        return 0

    cdef int append(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        """Push a run: evict in one call, forward in one call what can't stay, write the rest.

        The ring is entered. `taken` grows by the items that left the caller, also when the sink
        raises; if it raises over the evicted ones, none of the new ones did.
        """
        cdef Py_ssize_t resident = self.sync_head()
        cdef Py_ssize_t excess = resident + count - self.size
        cdef Py_ssize_t forwarded = 0
        if excess > 0:
            if self.target is None:
                forwarded = max(0, count - self.size)
                self.tail += forwarded
                taken[0] += forwarded
            else:
                if resident:
                    self.spill(self.target, min(excess, resident))
                if excess > resident:
                    try:
                        self.forward_new(items, excess - resident, &forwarded)
                    finally:
                        self.tail += forwarded
                        self.spilled += forwarded
                        self.advance(forwarded)
                        taken[0] += forwarded
        # A ring that drops need not move its head here: `sync_head` does that when it is next looked at.
        self.write_new(<const char *>items + forwarded * self.itemsize, count - forwarded)
        taken[0] += count - forwarded
        return 0

    cdef int spill(self, Sink sink, Py_ssize_t count) except -1 nogil:
        """Send the oldest `count` to a sink; what the sink doesn't take stays. The ring is entered."""
        cdef Py_ssize_t taken = 0
        self.prepare(count)
        try:
            self.send_oldest(sink, count, &taken)
        finally:
            self.spilled += taken
            self.drop_oldest(taken)
        return 0

    def drain(self, sink, /):
        """Move everything into another sink, in order, in as few blocks as there are runs.

        Parameters
        ----------
        sink : sink
            A ring, a `Sink`, a callable, or an object with ``send``.

        Returns
        -------
        int
            Items moved. If the sink raises, what it took has left the ring and the rest is still here.

        Raises
        ------
        TypeError
            `sink` is no sink, or one for other items.
        ValueError
            It is the ring itself; or one of the two is closed.
        RuntimeError
            The ring is in use: by another thread, by the sink it is sending to, or by a `reserve`.
        Exception
            Whatever the sink raises.
        """
        cdef Sink target = as_sink(sink)
        cdef Py_ssize_t count
        cdef long long before
        if target is self:
            raise ValueError("a ring can't be drained into itself")
        if sr_state_load(&self.state) <= SR_MAKING:
            self.raise_for_state(SR_NEW)
        target.bind(self.item_type)
        self.enter()
        try:
            count = self.sync_head()
            before = self.head
            try:
                if count:
                    self.spill(target, count)
            finally:
                if target is not self.target:
                    self.bypass(before, self.head - before, DRAINED)
            return count
        finally:
            self.run_deferred(SR_OPEN)

    def flush(self):
        """Send everything resident to the sink, then flush the sink.

        Returns
        -------
        int
            Items sent. Without a sink there is nowhere to send them: they stay, and it is 0.

        Raises
        ------
        ValueError
            The ring is closed.
        RuntimeError
            The ring is in use: by another thread, by the sink it is sending to, or by a `reserve`.
        Exception
            Whatever the sink raises; what it didn't take is still in the ring.
        """
        self.enter()
        try:
            return self.flush_entered()
        finally:
            self.run_deferred(SR_OPEN)

    cdef Py_ssize_t flush_entered(self) except -1:
        """Flush. The ring is entered, so that a sink which pushes here meanwhile is refused, and loses nothing."""
        cdef Py_ssize_t count = 0 if self.sink_as_given is None else self.sync_head()
        if self.target is None:  # there is no sink, or a DropSink
            self.prepare(count)
            self.drop_oldest(count)
            return count
        if count:
            self.spill(self.target, count)
        if sr_state_load(&self.target.state) != SR_CLOSED:
            self.target.flush()
        return count

    def clear(self):
        """Drop the content; the sink sees nothing of it. O(1), of objects O(n).

        Raises
        ------
        ValueError
            The ring is closed.
        RuntimeError
            The ring is in use: by another thread, by the sink it is sending to, or by a `reserve`.
        """
        cdef Py_ssize_t count
        self.enter()
        try:
            count = self.sync_head()
            self.prepare(count)
            self.bypass(self.head, count, CLEARED)
            self.drop_oldest(count)
        finally:
            self.run_deferred(SR_OPEN)

    def close(self):
        """Flush, then close the sink, and so on to the end of the chain. Closing again does nothing.

        A sink that other rings use too is closed with the last of them. Without a sink the content
        is dropped: to go on using the ring at the end of a chain, `flush` the first one and leave
        both open.

        If the sink raises, the ring stays open and holds what the sink didn't take; but where items are lost for
        good, as with the folder of a recording, closing again closes it with a `RuntimeWarning`. Afterwards every
        call that needs the ring open raises `ValueError`; the attributes, `len` and `stats` still answer.

        Raises
        ------
        RuntimeError
            The ring is in use: by another thread, by the sink it is sending to, or by a `reserve`.
        Exception
            Whatever the sink raises.
        """
        cdef Py_ssize_t count
        cdef int state = SR_OPEN
        if sr_state_load(&self.state) == SR_CLOSED:
            return
        self.enter()
        try:
            self.flush_to_close()
            if self.target is not None:
                drop_user(self.target)
            count = self.sync_head()
            self.prepare(count)
            self.drop_oldest(count)
            state = SR_CLOSED
        finally:
            self.run_deferred(state)

    cdef int flush_to_close(self) except -1:
        """Flush. Only a sink behind that has lost what it took need not be flushed again."""
        try:
            self.flush_entered()
        except Exception:
            if not may_close_unflushed(self) or self.sync_head():
                raise
        return 0

    def __del__(self):
        # A sink may still be waiting for what is here. A file object that is dropped does the same.
        cdef int state = sr_state_load(&self.state)
        if self.target is None or state <= SR_MAKING or state == SR_CLOSED:
            return
        sr_add_fetch(&self.target.n_users, -1)
        try:
            self.flush()
        except BaseException as error:
            warn_lost(self, self.count(), error)

    cdef int trace(self, Tracer tracer) except -1:
        tracer.keeps(self, self.pushed(), self.head, False)  # whoever wants the items reads them from the ring itself
        return 0

    cdef int flush_pending(self) except -1:
        if sr_state_load(&self.state) != SR_CLOSED and self.count() > 0:
            self.flush()
        return 0

    @property
    def capacity(self):
        """Items the ring holds when it is full."""
        return self.size

    @property
    def maxlen(self):
        """The capacity, by the name that `collections.deque` has for it."""
        return self.size

    @property
    def sink(self):
        """The sink, as it was given; None where what is evicted is dropped."""
        return self.sink_as_given

    @property
    def stats(self):
        """Counts since the ring was made: `Stats`, a named tuple of ``pushed, popped, spilled, dropped``.

        On a free-threaded Python they are approximate, as `len` is, while another thread is inside.
        """
        cdef long long pushed = self.pushed()
        cdef long long left = pushed - self.resident(pushed)
        cdef long long spilled = self.spilled + (self.uncounted() if self.window_evicts else 0)
        return Stats(pushed, self.popped, spilled, left - self.popped - spilled)

    @property
    def history(self):
        """What went through the ring, wherever in the chain it is now: a `History`, a sequence by number."""
        from spill_ring.history import History  # runs up, and only where it is asked for

        return History(self)

    @property
    def is_empty(self):
        """True when the ring holds nothing."""
        return self.count() == 0

    @property
    def is_full(self):
        """True when the next push evicts."""
        return self.count() == self.size

    def __len__(self):
        return self.count()

    def __getitem__(self, index):
        if isinstance(index, int):
            return self.item_at(PyNumber_AsSsize_t(index, NULL))  # one that is too large becomes the largest there is
        return self.copy_slice(index) if isinstance(index, slice) else self.items_at(index)

    cdef object item_at(self, Py_ssize_t index):
        cdef Py_ssize_t i = index
        cdef Py_ssize_t count
        self.enter()
        try:
            count = self.sync_head()
            if i < 0:
                i += count
            if not 0 <= i < count:
                raise IndexError(f"ring index {index} is out of range: it holds {count} items")
            return self.item(self.head + i)
        finally:
            self.leave()

    cdef object items_at(self, object index):
        """What an index gives that is neither an int nor a slice."""
        if not PyIndex_Check(index):
            raise TypeError(f"ring indices must be integers or slices, not {type(index).__name__}")
        return self.item_at(PyNumber_AsSsize_t(index, NULL))

    cdef object copy_slice(self, slice index):
        cdef Py_ssize_t count, start, stop, step
        self.enter()
        try:
            count = self.sync_head()
            start, stop, step = index.indices(count)
            return self.copy(self.head + start, len(range(start, stop, step)), step)
        finally:
            self.leave()

    def __iter__(self):
        return RingIterator.over(self, 1)

    def __reversed__(self):
        """Iterate newest to oldest."""
        return RingIterator.over(self, -1)

    def peek(self):
        """The oldest item, left in place; `IndexError` when empty. O(1)."""
        return self.peek_at(0)

    def peek_back(self):
        """The newest item, left in place; `IndexError` when empty. O(1)."""
        return self.peek_at(-1)

    cdef object peek_at(self, Py_ssize_t index):
        cdef Py_ssize_t count
        self.enter()
        try:
            count = self.sync_head()
            if count == 0:
                raise IndexError(f"{type(self).__name__} is empty")
            return self.item(self.head if index == 0 else self.tail - 1)
        finally:
            self.leave()

    def latest(self, n, /):
        """A copy of the newest items.

        Parameters
        ----------
        n : int
            How many; fewer come back if the ring holds fewer.

        Returns
        -------
        ndarray or list
            Oldest first.

        Raises
        ------
        TypeError
            `n` is no integer.
        ValueError
            It is negative, or the ring is closed.
        RuntimeError
            The ring is in use: by another thread, by the sink it is sending to, or by a `reserve`.
        """
        cdef Py_ssize_t count
        count = count_of(n)
        self.enter()
        try:
            count = min(count, self.sync_head())
            return self.copy(self.tail - count, count, 1)
        finally:
            self.leave()

    cdef str repr_items(self):
        """The content, or its two ends, for the repr."""

    def __repr__(self):
        name = type(self).__name__
        cdef int state = sr_state_load(&self.state)
        if state != SR_OPEN and state != SR_WINDOW:
            word = "closed" if state == SR_CLOSED else "not initialised" if state <= SR_MAKING else "in use"
            return f"<{name}: {word}, capacity={self.size}>"
        if Py_ReprEnter(self):  # a ring that holds itself
            return f"{name}(...)"
        try:
            dtype = "" if self.item_type is None else f", dtype={self.item_type}"
            return f"{name}({self.repr_items()}, capacity={self.size}{dtype})"
        finally:
            Py_ReprLeave(self)


cdef class OriginFinder(Tracer):
    """Finds, as a ring is attached, what keeps the items that the ring is going to send."""

    cdef list found  # of (sink, items): how many the sink has got, or are on the way to it
    cdef long long n_on_the_way

    @staticmethod
    cdef OriginFinder into(list found, long long n_on_the_way=0):
        cdef OriginFinder self = OriginFinder.__new__(OriginFinder)
        self.is_attaching = True
        self.found = found
        self.n_on_the_way = n_on_the_way
        return self

    cdef bint keeps(self, object sink, long long end, long long first, bint was_changed) except -1:
        self.found.append((sink, end + self.n_on_the_way))
        return False

    cdef int passes_on(self, list targets, list pending) except -1:
        for target, waiting in zip(targets, pending, strict=True):
            trace_sink(target, OriginFinder.into(self.found, self.n_on_the_way + len(waiting)))
        return 0


@cython.final
cdef class RingIterator:
    """Iterates over a ring; raises RuntimeError when the ring changed since."""

    cdef Ring ring
    cdef long long position, left, version  # they move while the ring is entered
    cdef Py_ssize_t step

    def __init__(self):
        raise TypeError("a RingIterator is made by iter(ring)")

    @staticmethod
    cdef RingIterator over(Ring ring, Py_ssize_t step):
        cdef RingIterator self = RingIterator.__new__(RingIterator)
        ring.enter()
        self.left = ring.sync_head()
        self.position = ring.head if step == 1 else ring.tail - 1
        self.version = ring.head + ring.tail  # both only grow
        ring.leave()
        self.ring = ring
        self.step = step
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self.ring is None:  # made by __new__
            raise StopIteration
        self.ring.enter()
        if self.left == 0 or self.ring.head + self.ring.tail != self.version:
            self.end()
        try:
            item = self.ring.item(self.position)
            self.position += self.step
            self.left -= 1
        finally:
            self.ring.leave()
        return item

    cdef int end(self) except -1:
        """Leave the ring, and raise what ends the iteration."""
        # A push moves the tail, if not the head, so that the head need not be brought up to date to compare.
        cdef bint has_changed = self.ring.head + self.ring.tail != self.version
        self.left = 0
        self.ring.leave()
        if has_changed:
            raise RuntimeError(f"{type(self.ring).__name__} changed during iteration")
        raise StopIteration

    def __length_hint__(self):
        return self.left
