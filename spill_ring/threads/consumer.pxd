"""The consumer of one ring between threads, or of several together: waiting for items, and taking them."""
cimport cython

from spill_ring._core.guard cimport SR_BUSY, SR_OPEN, sr_state_cas, sr_state_is_atomic, sr_state_store
from spill_ring._core.sink cimport Sink
from spill_ring.threads.core cimport sr_claim, sr_spsc_state, sr_spsc, sr_spsc_available
from spill_ring.threads.eviction cimport SinkContext
from spill_ring.threads.parking cimport Parking
from spill_ring.threads.taker cimport note_taker


ctypedef struct merged:  # one ring, or several which are consumed like one
    sr_spsc_state **rings
    sr_spsc_state *first  # rings[0]
    Py_ssize_t count
    Py_ssize_t turn  # the ring whose items come first the next time


@cython.final
cdef class Consumer:
    cdef merged rings
    cdef Py_ssize_t allocated  # how many rings it has memory for
    cdef Py_ssize_t capacity  # of all rings together
    cdef bint is_merging  # of an MpscRing
    cdef object item_type  # None: the rings hold objects
    cdef object record  # the dataclass whose instances the items are; None: they are numpy's
    cdef Parking parking  # where the consumer sleeps. A ring wakes the consumer that added it last.

    cdef int add(self, sr_spsc_state *ring) except -1

    # Wait for `n` items in all rings together. False: the time is over, or the rings are closed and hold fewer.
    cdef bint wait(self, Py_ssize_t n, long long deadline) except -1 nogil
    cdef bint wait_slow(self, Py_ssize_t n, long long deadline) except -1

    # The caller has entered the rings (`enter`) for the calls from here on.
    # Copy out up to `count` items: about as many of each ring, and those of each ring oldest first.
    cdef Py_ssize_t pop_block(self, char *out, Py_ssize_t count) noexcept nogil
    # Wait for one item, then take up to `n` as a block or list. It is empty if none will come.
    cdef object pop_many(self, Py_ssize_t n, long long deadline)
    cdef Py_ssize_t pop_into(self, void *out, Py_ssize_t n_free, long long deadline) except -1
    # The same, of the first ring only, for an array of another layout than a block's, or of another dtype of its kind.
    cdef Py_ssize_t pop_converted(self, object array, long long deadline) except -1
    # Send up to `max` items of each ring to a sink. The references of the objects that were sent come to lie in `out`.
    cdef Py_ssize_t send_to(self, Sink sink, Py_ssize_t max, SinkContext *out) except -1
    # Remove everything. Objects are appended to the list.
    cdef int clear(self, list dropped) except -1
    # Release the sinks of those rings that are closed and empty.
    cdef int release_sinks(self) except -1

    # Waiting in an event loop. `listen` returns the descriptor that becomes readable after `request_wake`, which
    # returns True if the wait is over already. `unlisten` returns whether the items are there.
    cdef int listen(self) except -2
    cdef bint request_wake(self, Py_ssize_t n) noexcept
    cdef bint unlisten(self, Py_ssize_t n) noexcept

    # Have every side entered by a compare-and-swap from now on, for threads without the GIL.
    cdef int make_sides_atomic(self) except -1 with gil

    cdef inline int ensure_sides_atomic(self) except -1 nogil:
        cdef Py_ssize_t i
        for i in range(self.rings.count):
            if not sr_state_is_atomic(&self.rings.rings[i].consumer.state):
                return self.make_sides_atomic()
        return 0

    cdef inline int enter(self) except -1 nogil:
        """Enter the consumer's side of every ring, so that nobody else can pop from one of them."""
        return enter_side(self.rings.first) if self.rings.count == 1 else enter_sides(&self.rings)

    cdef inline void leave(self) noexcept nogil:
        if self.rings.count == 1:
            leave_side(self.rings.first)
        else:
            leave_sides(&self.rings, self.rings.count)

    cdef inline sr_spsc *claim_one(self) noexcept nogil:
        """Claim one item. Returns its ring, or NULL if all rings are empty."""
        if self.rings.count != 1:
            return claim_one_of(&self.rings)
        return &self.rings.first.core if sr_claim(&self.rings.first.core, 1, False) else NULL

    cdef inline bint wait_gil(self, Py_ssize_t n, long long deadline) except -1:
        """Wait as a thread that has the GIL, which is released only to sleep. If False, release what sinks can be."""
        return True if available(&self.rings) >= n else self.wait_slow(n, deadline)


# The consumer's side of one ring, which only one thread at a time may enter.
cdef inline int enter_side(sr_spsc_state *ring) except -1 nogil:
    cdef int found = sr_state_cas(&ring.consumer.state, SR_OPEN, SR_BUSY)
    if found != SR_OPEN:
        enter_side_slow(ring, found)
    note_taker(ring)
    return 0


cdef inline void leave_side(sr_spsc_state *ring) noexcept nogil:
    sr_state_store(&ring.consumer.state, SR_OPEN)


cdef inline Py_ssize_t available(const merged *rings) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t count = 0
    for i in range(rings.count):
        count += <Py_ssize_t>sr_spsc_available(&rings.rings[i].core)
    return count


cdef int enter_side_slow(sr_spsc_state *ring, int found) except -1 nogil
cdef int enter_sides(merged *rings) except -1 nogil
cdef void leave_sides(merged *rings, Py_ssize_t count) noexcept nogil
cdef sr_spsc *claim_one_of(merged *rings) noexcept nogil
cdef bint are_closed(const merged *rings) noexcept nogil
