"""What every one-thread ring has: positions, accounting, the sink, flush and close."""
cimport cython

from spill_ring._core.lending cimport LendingSink
from spill_ring._core.sink cimport Sink


cdef enum:
    POPPED
    CLEARED
    DRAINED

# A run of items that left a ring, but not to its sink.
ctypedef struct gap:
    long long start, end  # positions
    int cause


cdef class Ring(LendingSink):
    # Positions of the oldest item and of the next to come. They never wrap: at
    # 10^10 items/s a long long lasts 29 years. `tail` counts what was pushed, `head` what has left.
    cdef long long head, tail
    # A push into an open ring may write at once while `tail < limit`, which is false when the ring is full and has a
    # sink. Without a sink there is no limit: new items overwrite the oldest, and `sync_head` moves the head later.
    cdef long long limit
    cdef long long popped, spilled
    cdef bint window_evicts  # each uncounted item has sent the oldest on to the sink
    cdef Py_ssize_t size  # the capacity
    cdef object sink_as_given  # the sink, as it was given
    # For `history`:
    cdef gap last  # the newest gap, which may still grow
    cdef gap *older  # the gaps before it, in a circular buffer; NULL until there is one
    cdef long long gaps  # how many there were before the last
    cdef long long known_from  # gaps before this number were forgotten
    cdef long long bypassed  # items in all gaps; every other item that left was sent to the sink
    # The sinks behind that keep items, each with how many it had got, or were on the way to it, as the ring was made.
    cdef list history_origins

    # For `__init__`: whatever may fail or run Python comes before `start`. Nothing after it may fail, and the last step
    # is `leave`, which opens the ring.
    @cython.final
    cdef int start(self, Py_ssize_t size, object dtype, object sink) except -1

    # A kind of ring is a subclass that overrides these; `factory` registers it with SpillRing.
    cdef int write_new(self, const void *items, Py_ssize_t count) except -1 nogil
    cdef int forward_new(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil
    cdef int send_oldest(self, Sink sink, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil
    cdef int drop_oldest(self, Py_ssize_t count) except -1 nogil
    cdef object item(self, long long position)
    cdef object copy(self, long long position, Py_ssize_t count, Py_ssize_t step)
    cdef str repr_items(self)
    # It may override `items_at`, if it takes more indices than a list does; `prepare`, which is called before a run is
    # sent; and `run_deferred`, which leaves the ring.
    cdef object items_at(self, object index)
    cdef int prepare(self, Py_ssize_t count) except -1 nogil

    @cython.final
    cdef void begin_gap(self, long long start, int cause) noexcept nogil

    @cython.final
    cdef int append(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil

    @cython.final
    cdef int spill(self, Sink sink, Py_ssize_t count) except -1 nogil

    @cython.final
    cdef Py_ssize_t flush_entered(self) except -1

    @cython.final
    cdef object item_at(self, Py_ssize_t index)

    @cython.final
    cdef int flush_to_close(self) except -1

    @cython.final
    cdef object copy_slice(self, slice index)

    @cython.final
    cdef object peek_at(self, Py_ssize_t index)

    @cython.final
    cdef inline Py_ssize_t count(self) noexcept nogil:
        """How many items are resident; for attributes that anyone may ask at any time."""
        return self.resident(self.pushed())

    @cython.final
    cdef inline Py_ssize_t resident(self, long long pushed) noexcept nogil:
        cdef long long behind = pushed - self.head
        # Negative where another thread moved on between the two.
        return 0 if behind < 0 else <Py_ssize_t>behind if behind < self.size else self.size

    @cython.final
    cdef inline long long pushed(self) noexcept nogil:
        """The tail, and what `push_value` has written beyond it."""
        return self.tail + self.uncounted()

    @cython.final
    cdef inline Py_ssize_t sync_head(self) noexcept nogil:
        """Move the head past what a ring without a sink has overwritten; returns `count()`. The ring is entered."""
        if self.tail - self.head > self.size:
            self.head = self.tail - self.size
        return <Py_ssize_t>(self.tail - self.head)

    @cython.final
    cdef inline void advance(self, long long count) noexcept nogil:
        """Move the head past the oldest `count`, which have left."""
        self.head += count
        if self.target is not None:
            self.limit = self.head + self.size

    @cython.final
    cdef inline void bypass(self, long long start, long long count, int cause) noexcept nogil:
        """Note that `count` items from `start` on leave or have left, and not to the sink."""
        if count:
            if self.last.end != start or self.last.cause != cause:
                self.begin_gap(start, cause)
            self.last.end += count
            self.bypassed += count

    @cython.final
    cdef inline void pop_oldest(self, Py_ssize_t count) noexcept nogil:
        """Count the oldest `count` as popped: the caller has them."""
        self.bypass(self.head, count, POPPED)
        self.advance(count)
        self.popped += count


cdef enum:
    GAPS_REMEMBERED = 256  # before the newest: 6 KB
