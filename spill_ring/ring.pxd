"""What every one-thread ring has: positions, accounting, the sink, the end."""
cimport cython
from spill_ring.guard cimport SR_AHEAD
from spill_ring.sink cimport Sink


cdef class Ring(Sink):
    # Absolute sequence numbers of the oldest item and of the next to come. They never wrap: at
    # 10^10 items/s a long long lasts 29 years. `tail` is what was pushed, `head` what has left.
    cdef long long head, tail
    # A push needs no more than `tail < limit`. False when the ring is full and has a sink, and
    # whenever it is not open. A ring that drops never says so: `trim` brings its head up later.
    cdef long long limit
    cdef long long popped, spilled
    cdef Py_ssize_t size  # the capacity
    cdef Sink target  # None: what is evicted is dropped
    cdef object given  # the sink, as it was given

    cdef int attach(self, object capacity, object sink, object dtype) except -1

    # What the kinds of ring do in their own way.
    cdef int store(self, const void *items, Py_ssize_t count) except -1 nogil
    cdef int pass_on(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil
    cdef int offer(self, Sink sink, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil
    cdef int release(self, Py_ssize_t count) except -1 nogil
    cdef object item(self, long long position)
    cdef object copy(self, long long position, Py_ssize_t count, Py_ssize_t step)

    cdef int append(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil
    cdef int spill(self, Sink sink, Py_ssize_t count) except -1 nogil
    cdef int start(self) except -1
    cdef Py_ssize_t ahead(self) noexcept nogil
    cdef object resident(self, Py_ssize_t index)
    cdef str shown(self)

    @cython.final
    cdef inline Py_ssize_t count(self) noexcept nogil:
        """How many items are resident; for attributes that anyone may ask at any time."""
        cdef long long behind = self.pushed() - self.head
        return <Py_ssize_t>behind if behind < self.size else self.size

    @cython.final
    cdef inline long long pushed(self) noexcept nogil:
        """The tail, also while `push_value` is ahead of it."""
        return self.tail + (self.ahead() if self.state == SR_AHEAD else 0)

    @cython.final
    cdef inline Py_ssize_t trim(self) noexcept nogil:
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


cdef Py_ssize_t count_of(object n) except -1
