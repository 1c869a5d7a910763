"""What every one-thread ring has: positions, accounting, the sink, the end."""
cimport cython

from spill_ring._core.lending cimport LendingSink
from spill_ring._core.sink cimport Sink


cdef enum:
    POPPED
    CLEARED
    DRAINED

# A run of items that left a ring, but not to its sink.
ctypedef struct gap:
    long long start, end  # sequence numbers
    int cause


cdef class Ring(LendingSink):
    # Absolute sequence numbers of the oldest item and of the next to come. They never wrap: at
    # 10^10 items/s a long long lasts 29 years. `tail` is what was pushed, `head` what has left.
    cdef long long head, tail
    # An open ring's push needs no more than `tail < limit`: false when the ring is full and has a
    # sink. A ring that drops is never full to it; `sync_head` brings its head up later.
    cdef long long limit
    cdef long long popped, spilled
    cdef bint window_evicts  # each item that is ahead has sent the oldest on to the sink
    cdef Py_ssize_t size  # the capacity
    cdef object sink_as_given  # the sink, as it was given
    # For `history`:
    cdef gap last  # the gap that may go on
    cdef gap *older  # as many of those before as are remembered, in turn; there once there is one
    cdef long long gaps  # how many there were before the last
    cdef long long known_from  # whatever left before that, how it left is forgotten
    cdef long long bypassed  # items in all gaps: all else that left was sent to the sink
    # What keeps items directly behind, each with how many it had got, or were on the way, when the sink was attached.
    cdef list history_origins

    # All that may fail or run Python comes first. After `start` nothing may fail, and the last thing is to
    # `leave` it open.
    cdef int start(self, Py_ssize_t size, object dtype, object sink) except -1

    # A kind of ring is a subclass that overrides these; `spill` registers it with SpillRing.
    cdef int write_new(self, const void *items, Py_ssize_t count) except -1 nogil
    cdef int forward_new(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil
    cdef int send_oldest(self, Sink sink, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil
    cdef int drop_oldest(self, Py_ssize_t count) except -1 nogil
    cdef object item(self, long long position)
    cdef object copy(self, long long position, Py_ssize_t count, Py_ssize_t step)
    cdef str repr_items(self)
    # And, where there is something to do, this before a run is sent and `run_deferred` to leave the ring.
    cdef int prepare(self, Py_ssize_t count) except -1 nogil

    cdef void begin_gap(self, long long start, int cause) noexcept nogil
    cdef int raise_abstract(self) except -1 with gil
    cdef int append(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil
    cdef int spill(self, Sink sink, Py_ssize_t count) except -1 nogil
    cdef Py_ssize_t flush_through(self) except -1
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
        """The tail, also while `push_value` is ahead of it."""
        return self.tail + self.uncounted()

    @cython.final
    cdef inline Py_ssize_t sync_head(self) noexcept nogil:
        """Bring the head of a ring that drops up to where it is; `count()`. The ring is entered."""
        if self.tail - self.head > self.size:
            self.head = self.tail - self.size
        return <Py_ssize_t>(self.tail - self.head)

    @cython.final
    cdef inline void advance(self, long long count) noexcept nogil:
        """The oldest `count` have left."""
        self.head += count
        if self.target is not None:
            self.limit = self.head + self.size

    @cython.final
    cdef inline void bypass(self, long long start, long long count, int cause) noexcept nogil:
        """The oldest `count`, from `start` on, leave or have left, and not to the sink."""
        if count:
            if self.last.end != start or self.last.cause != cause:
                self.begin_gap(start, cause)
            self.last.end += count
            self.bypassed += count

    @cython.final
    cdef inline void pop_oldest(self, Py_ssize_t count) noexcept nogil:
        """The oldest `count` have been handed to the caller."""
        self.bypass(self.head, count, POPPED)
        self.advance(count)
        self.popped += count


cdef enum:
    GAPS_REMEMBERED = 256  # before the last: 6 KB
