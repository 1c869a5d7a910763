"""The consumer of one ring between threads, or of several together: what there is for it, waiting and taking."""
cimport cython

from spill_ring.threads.eviction cimport SinkContext
from spill_ring.threads.parking cimport NO_WAIT, Parking
from spill_ring._core.sink cimport Sink
from spill_ring.threads.core cimport sr_spsc_available, sr_spsc_state


ctypedef struct merged:  # the rings, as one
    sr_spsc_state **rings
    Py_ssize_t count
    Py_ssize_t turn  # the one whose items come first the next time


# Who calls has entered the consumer's side of all rings, leaves it, and has them `settle` where nothing came.
@cython.final
cdef class Consumer:
    cdef merged rings
    cdef Py_ssize_t room  # for rings
    cdef object item_type  # None: objects
    cdef Parking parking  # where it sleeps; a ring that several consumers know wakes the last that added it

    cdef int add(self, sr_spsc_state *ring) except -1
    # Wait for `n` items in all rings together. False: the time is over, or the rings are closed and hold fewer.
    cdef bint wait(self, Py_ssize_t n, long long deadline) except -1 nogil
    cdef bint wait_with_gil(self, Py_ssize_t n, long long deadline) except -1

    # Copy out up to `count` items, of each ring about as many, and those of each oldest first.
    cdef Py_ssize_t take(self, char *out, Py_ssize_t count) noexcept nogil
    # Wait for one. Up to `n` as a block or list, and how many; none where there will be none.
    cdef object pop_many(self, Py_ssize_t n, long long deadline, Py_ssize_t *taken)
    cdef Py_ssize_t pop_into(self, void *out, Py_ssize_t room, long long deadline) except -1
    # Send up to `max` of each ring to a sink. The references of objects that were sent come to lie in `out`.
    cdef Py_ssize_t move_to(self, Sink sink, Py_ssize_t max, SinkContext *out) except -1
    # Objects come into the list.
    cdef int drop_all(self, list dropped) except -1

    # Waiting in an event loop. `listen` gives the descriptor that becomes readable after `ask`, which says whether the
    # wait is over already; `listen_no_more` whether they are there.
    cdef int listen(self) except -2
    cdef bint ask(self, Py_ssize_t n) noexcept
    cdef bint listen_no_more(self, Py_ssize_t n) noexcept

    cdef inline bint find(self, Py_ssize_t n, long long deadline) except -1:
        """`wait` for who has the GIL, which is let go of only to sleep."""
        if available(&self.rings) >= n:
            return True
        return False if deadline == NO_WAIT else self.wait_with_gil(n, deadline)


cdef inline Py_ssize_t available(const merged *rings) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t count = 0
    for i in range(rings.count):
        count += <Py_ssize_t>sr_spsc_available(&rings.rings[i].core)
    return count


# What `blocks` and `ablocks` were given, as a number of items.
cdef Py_ssize_t block_size(object n, Py_ssize_t default) except -1
