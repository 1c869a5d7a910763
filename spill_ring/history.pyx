"""`ring.history`: one sequence over a whole chain, wherever its items are by now.

Nothing is recorded as items move, because the place of an item can be counted. The item that a ring sent last is the
last in its sink, so the item that it sent k items ago is the k-th from the sink's end. That holds as long as nobody
else sends to the sink. So each ring knows how many items its sink had got when it was attached. From then on the sink
must have got as many as the ring has sent. Items that left the ring in another way are a gap in its numbers, which the
ring remembers.
"""
cimport numpy as cnp

from spill_ring._core.arguments cimport count_of
from spill_ring._core.tracing cimport Tracer, items_error
from spill_ring.rings.array cimport ArrayRing
from spill_ring._core.block cimport new_block
from spill_ring.serialization.record cimport load_item
from spill_ring.rings.base cimport CLEARED, DRAINED, GAPS_REMEMBERED, POPPED, Ring, gap
from spill_ring._core.sink cimport Sink, trace_sink

import operator
from types import GenericAlias

import numpy as np

cnp.import_array()


cdef class History:
    """History(ring)\n--\n
    What went through a ring: one sequence over the ring, the rings behind it, and what keeps items at the end.

    Parameters
    ----------
    ring : ObjectRing or ArrayRing
        ``ring.history`` is the same as ``History(ring)``.

    Attributes
    ----------
    first, end : int
        `first` is the lowest number from which on nothing is missing, and `end` the next number.

    Raises
    ------
    IndexError
        An item is nowhere in the chain any more, or not there yet; it says what became of it: dropped, popped,
        cleared, drained, taken, removed, or sent on to a sink that can't be read back.
    RuntimeError
        It can't be told where an item is, because others feed the sink that has it too; it waits in a
        `BackgroundSink` whose sink raised; a ring on the way is in use.
    ValueError
        The ring, or a sink on the way, is closed.
    DamagedError
        It is on disk, and damaged.

    Notes
    -----
    Each item that is pushed has the next number, for good, wherever it moves and whatever is popped. What is behind
    the ring when it is made comes before: with a folder that holds 1,000 items at the end of the chain the first
    item pushed is number 1,000, and the old ones can be read too. Until something is popped, drained or cleared, the
    numbers are those of `SpillLog`.

    Items are found in `ObjectRing`, `ArrayRing`, `CollectSink` and `DiskSink`, also behind `BatchSink`, `LockedSink`,
    `BackgroundSink` (where it waits until what is on the way has arrived) and `TeeSink` (the first that has them; those
    from before the ring was made, in the first that keeps any). Classes that define a ``send`` of their own
    can't be read back, nor can an `SpscRing`. Of a `CollectSink` of objects the list is the caller's too: who changes
    the order of items in it changes the history.

    ``history[a:b]`` reads in O(items + rings on the way), plus up to 256 steps for the gaps of each ring on the way;
    items on disk are checked when they are read for the first time, and come as `SpillLog` gives them. A ring remembers
    its last 256 gaps, where items were popped, cleared or drained between two evictions; where older ones left from
    can't be told. Pushing costs nothing extra. **Thread safety.** One thread at a time, as for the ring.

    >>> import tempfile
    >>> warm = ArrayRing(8, "i8", sink=DiskSink(tempfile.mkdtemp()))
    >>> hot = ArrayRing(4, "i8", sink=warm)
    >>> hot.extend(range(100))
    >>> hot.history[86:97]                     # two on disk, eight in the warm ring, one in the hot one
    array([86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96])
    >>> hot.history.first, hot.history.end, hot.history[-1]
    (0, 100, np.int64(99))
    >>> hot.close()
    """

    cdef Ring ring

    def __cinit__(self, Ring ring not None):
        self.ring = ring

    def __init__(self, ring):
        """`__cinit__` has taken the ring."""

    @classmethod
    def __class_getitem__(cls, item):
        """``History[str, list[str]]``, for annotations."""
        return GenericAlias(cls, item)

    @property
    def first(self):
        """The number from which on everything is there, without a gap. O(rings on the way)."""
        return origin(self.ring) + complete_from(self.ring)

    @property
    def end(self):
        """The number of the item to be pushed next. O(rings on the way)."""
        return origin(self.ring) + self.ring.pushed()

    def __len__(self):
        return self.end - self.first

    def __getitem__(self, key):
        """An item, an instance where the ring has a `record`; or the items of a slice, an ndarray or a list.

        Both are by number; negative ones count from the end. A typed slice that lies in one file of a recording is
        the file itself, read-only; all else is a copy.
        """
        end = self.end
        if isinstance(key, slice):
            step = 1 if key.step is None else operator.index(key.step)
            if step < 1:
                raise ValueError(f"a step must be at least 1, not {step}")
            stop = end if key.stop is None else min(number_of(key.stop, end), end)
            if key.start is None:
                return self.newest(0, stop)[::step]
            start = start_of(key.start, stop, end)
            return self.between(start, max(start, stop))[::step]
        number = number_of(key, end)
        if not 0 <= number < end:
            raise IndexError(f"item {key} is not there{' yet' if number >= end else ''}: there were {end} so far")
        return item_at(self.ring, self.between(number, number + 1), 0)

    cdef object between(self, object start, object stop):
        """The items of a range whose end is not beyond the newest item."""
        cdef Ring ring = self.ring
        cdef list parts = []
        if start < stop:
            read(ring, start - origin(ring), stop - start, start, parts)
        else:
            ring.enter()  # raises what it would raise if there were items
            ring.leave()
        if ring.item_type is None:
            return [item for part in parts for item in part]
        if not parts:
            return new_block(ring.item_type, 0)
        # Without the dtype, numpy would convert to the native byte order.
        return parts[0] if len(parts) == 1 else np.concatenate(parts, dtype=ring.item_type.base)

    cdef object newest(self, object start, object stop):
        """Those items of a range that are there without a gap before the end."""
        while True:
            first = self.first
            try:
                return self.between(max(first, start), stop)
            except IndexError:  # the thread of a DiskSink may have removed the oldest items just now
                if self.first == first:
                    raise

    def last(self, n, /):
        """The newest items: as the ring's `latest`, and beyond the ring.

        Parameters
        ----------
        n : int
            How many; fewer come back if fewer are there without a gap.

        Returns
        -------
        ndarray or list
            Oldest first.
        """
        cdef Py_ssize_t count = count_of(n)
        end = self.end
        return self.newest(end - count, end)

    def blocks(self, n=65536, /, *, start=None, stop=None):
        """The items in blocks.

        Parameters
        ----------
        n : int
            Items in a block, at most.
        start, stop : int, optional
            Numbers between which to read, negative ones from the end on; `first` and `end` when the iteration begins by
            default.

        Yields
        ------
        ndarray or list
        """
        if n < 1:
            raise ValueError(f"a block has at least 1 item, not {n}")
        end = self.end
        until = end if stop is None else min(number_of(stop, end), end)
        at = self.first if start is None else start_of(start, until, end)
        while at < until:
            yield self[at:min(at + n, until)]
            at += n

    def __iter__(self):
        for block in self.blocks():
            for i in range(len(block)):
                yield item_at(self.ring, block, i)

    def __reversed__(self):
        """Iterate newest to oldest."""
        first, end = self.first, self.end
        while end > first:
            start = max(first, end - 65536)
            block = self[start:end]
            for i in reversed(range(len(block))):
                yield item_at(self.ring, block, i)
            end = start

    def __array__(self, dtype=None, copy=None):
        """For `np.asarray`: all that is there."""
        return np.array(self[:], dtype=dtype, copy=copy)

    def __repr__(self):
        # The first number is left out, because finding it may take a while.
        kind = "objects" if self.ring.item_type is None else f"{self.ring.item_type} items"
        return f"<History: {kind} up to {self.end}>"


cdef long long origin(Ring ring) except -1:
    """The number of the first item that was pushed into a ring."""
    if not ring.history_origins:
        return 0
    sink, met = ring.history_origins[0]
    return met + (origin(sink) if isinstance(sink, Ring) else 0)


cdef object number_of(object index, object end):
    try:
        number = operator.index(index)
    except TypeError:
        raise TypeError(f"history indices must be integers or slices, not {type(index).__name__}") from None
    return number if number >= 0 else number + end


cdef object start_of(object index, object stop, object end):
    """The number at which a range begins. It lies before all numbers only if the range is empty."""
    number = number_of(index, end)
    if number < 0 and number < stop:
        raise IndexError(f"item {index} is not there: there were {end} so far")
    return number


cdef object item_at(Ring ring, object block, Py_ssize_t i):
    """An item of a block as the ring gives its own."""
    cdef cnp.ndarray array
    if not isinstance(ring, ArrayRing) or (<ArrayRing>ring).record is None:
        return block[i]
    array = block
    return load_item((<ArrayRing>ring).record, ring.item_type, cnp.PyArray_BYTES(array) + i * ring.itemsize)


# -- reading -----------------------------------------------------------------------------------------

# A run of the items that a ring sent to its sink.
cdef struct run:
    long long number  # the first item's number for the caller, which errors name
    Py_ssize_t count
    long long back  # how far the first lies before the end of everything that the sink was sent
    long long sent  # how much of that the ring sent
    bint is_older  # the sink got the first before the ring was attached


cdef int read(Ring ring, long long start, Py_ssize_t count, long long number, list parts) except -1:
    """Gather `count` items that a ring has got, from position `start` on. A negative one: before it was attached."""
    cdef Py_ssize_t gone
    ring.enter()
    try:
        ring.sync_head()
        gone = <Py_ssize_t>max(0, min(count, ring.head - start))
        if gone:
            read_gone(ring, start, gone, number, parts)
        if gone < count:
            parts.append(ring.copy(start + gone, count - gone, 1))
    finally:
        ring.leave()
    return 0


cdef int read_gone(Ring ring, long long start, Py_ssize_t count, long long number, list parts) except -1:
    """Gather items that have left a ring."""
    cdef long long stop = start + count
    cdef long long back = ring.head - start
    cdef long long i
    cdef gap found
    name = type(ring).__name__
    if start < ring.known_from and ring.known_from > 0:
        raise items_error(
            RuntimeError, number, min(count, ring.known_from - start),
            f"left an {name} so long ago that it can't be told where to: it remembers the last {GAPS_REMEMBERED} times "
            "that something was popped, cleared or drained between two evictions",
        )
    for i in range(max(0, ring.gaps - GAPS_REMEMBERED), ring.gaps + 1):
        found = ring.last if i == ring.gaps else ring.older[i % GAPS_REMEMBERED]
        if max(found.start, start) < min(found.end, stop):
            how = {POPPED: "popped from", CLEARED: "cleared from", DRAINED: "drained elsewhere from"}[found.cause]
            raise items_error(
                IndexError, number + max(0, found.start - start), min(found.end, stop) - max(found.start, start),
                f"{how} an {name}", "was", "were",
            )
        if found.start >= start:
            back -= found.end - found.start
    if ring.target is None:
        why = f"dropped by an {name} of capacity {ring.size} without a sink"
        raise items_error(IndexError, number, count, why, "was", "were")
    return read_behind(ring, ring.target, run(number, count, back, ring.head - ring.bypassed, start < 0), parts)


cdef class Reader(Tracer):
    """Reads items that were sent to a sink, wherever they are by now."""

    cdef Ring ring  # that sent them
    cdef run wanted
    cdef list parts  # where the items go

    @staticmethod
    cdef Reader of(Ring ring, run wanted, list parts):
        cdef Reader self = Reader.__new__(Reader)
        self.ring = ring
        self.wanted = wanted
        self.parts = parts
        return self

    cdef bint keeps(self, object sink, long long end, long long first, bint was_changed) except -1:
        check_alone(self.ring, sink, self.wanted.sent, end, was_changed)
        if self.wanted.is_older and self.ring.history_origins[0][0] is not sink:
            why = f"came before this {type(self.ring).__name__}, whose numbers begin in another sink"
            raise items_error(IndexError, self.wanted.number, self.wanted.count, why)
        self.start = end - self.wanted.back
        self.count = self.wanted.count
        self.number = self.wanted.number
        if isinstance(sink, Ring):
            read(<Ring>sink, self.start, self.count, self.number, self.parts)
            return False
        return True

    cdef int give(self, object items) except -1:
        self.parts.append(items)
        return 0

    cdef int passes_on(self, list targets, list pending) except -1:
        """Read from the first of the targets that has the items."""
        failures = []
        for target, waiting in zip(targets, pending, strict=True):
            found = []
            try:
                self.read_across(target, waiting, found)
            except Exception as failure:
                failures.append(failure)
            else:
                self.parts += found
                return 0
        for failure in failures:
            if not isinstance(failure, IndexError):
                raise failure  # the items are damaged, or nobody can tell where they are; that isn't gone
        raise IndexError("; ".join(map(str, failures)))

    cdef int read_across(self, Sink sink, object waiting, list parts) except -1:
        """Read items of which the last may be waiting for the sink."""
        cdef run wanted = self.wanted
        cdef Py_ssize_t n_waiting = len(waiting)
        cdef Py_ssize_t count = wanted.count
        cdef Py_ssize_t n_sent = <Py_ssize_t>max(0, min(count, wanted.back - n_waiting))
        cdef Py_ssize_t at = n_waiting - <Py_ssize_t>(wanted.back - n_sent)
        if n_sent:
            wanted.count = n_sent
            wanted.back -= n_waiting
            wanted.sent -= n_waiting
            read_behind(self.ring, sink, wanted, parts)
        if n_sent < count:
            parts.append(waiting[at:at + count - n_sent].copy())
        return 0

    cdef int cannot_tell(self, str why) except -1:
        raise items_error(RuntimeError, self.wanted.number, self.wanted.count, why)

    cdef int is_closed(self, str why) except -1:
        raise ValueError(why)


cdef int read_behind(Ring ring, Sink sink, run wanted, list parts) except -1:
    """Gather items that were sent to a sink."""
    if not trace_sink(sink, Reader.of(ring, wanted, parts)):
        why = f"went on to a sink that can't be read back: {type(sink).__name__}"
        raise items_error(IndexError, wanted.number, wanted.count, why)
    return 0


cdef bint is_alone(Ring ring, object sink, long long sent, long long end, bint was_changed) except -1:
    """Has only this ring fed the sink since it was attached?"""
    for keeper, met in ring.history_origins:
        if keeper is sink:
            return met + sent == end and not was_changed
    return False


cdef int check_alone(Ring ring, object sink, long long sent, long long end, bint was_changed) except -1:
    if not is_alone(ring, sink, sent, end, was_changed):
        raise RuntimeError(
            f"others than this {type(ring).__name__} have fed the {type(sink).__name__} behind it, or changed its "
            "list, since it was attached: which of the items there are whose can't be told"
        )
    return 0


# -- from where on everything is there -----------------------------------------------------------------

cdef long long complete_from(Ring ring) except? -1:
    """The position in a ring from which on all that it has got is there."""
    cdef long long first
    ring.enter()
    try:
        ring.sync_head()
        first = ring.head
        if ring.target is not None:
            first -= n_behind(ring, ring.target, ring.head - ring.bypassed)
        return max(first, ring.last.end) if ring.bypassed else first
    finally:
        ring.leave()


cdef class Counter(Tracer):
    """Counts how many of the last items that a ring sent to a sink are there."""

    cdef Ring ring
    cdef long long sent
    cdef long long n_there

    @staticmethod
    cdef Counter of(Ring ring, long long sent):
        cdef Counter self = Counter.__new__(Counter)
        self.ring = ring
        self.sent = sent
        return self

    cdef bint keeps(self, object sink, long long end, long long first, bint was_changed) except -1:
        if is_alone(self.ring, sink, self.sent, end, was_changed):
            there = end - (complete_from(<Ring>sink) if isinstance(sink, Ring) else first)
            # Items from before the ring was attached count only where its numbers begin.
            has_older = self.ring.history_origins[0][0] is sink
            self.n_there = there if has_older else min(there, self.sent)
        return False

    cdef int passes_on(self, list targets, list pending) except -1:
        for target, waiting in zip(targets, pending, strict=True):
            self.n_there = max(self.n_there, n_behind(self.ring, target, self.sent - len(waiting)) + len(waiting))
        return 0

    cdef int is_closed(self, str why) except -1:
        raise ValueError(why)


cdef long long n_behind(Ring ring, Sink sink, long long sent) except -1:
    """Of what a ring's sink was sent, how many of the last are there."""
    counter = Counter.of(ring, sent)
    trace_sink(sink, counter)
    return counter.n_there
