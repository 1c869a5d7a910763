"""Memory that grows, as a sink."""
cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.string cimport memcpy

from spill_ring._core.block cimport copy_block, new_block, view_block
from spill_ring._core.guard cimport SR_BUSY, SR_CLOSED, SR_OPEN, sr_state_store, sr_state_cas
from spill_ring._core.sink cimport LENDS, NATIVE, TRACED, bound_dtype, declare_traits, sr_ensure_thread_state
from spill_ring._core.tracing cimport Tracer, items_error

from types import GenericAlias


cdef void free_capsule(object capsule) noexcept:
    PyMem_RawFree(PyCapsule_GetPointer(capsule, NULL))


cdef class CollectSink(LendingSink):
    """CollectSink()\n--\n
    Gathers what it is sent, in memory that grows.

    >>> sink = CollectSink()
    >>> ring = SpillRing(4, sink=sink)
    >>> ring.extend(range(1, 11))
    >>> ring
    ObjectRing([7, 8, 9, 10], capacity=4)
    >>> sink.items
    [1, 2, 3, 4, 5, 6]

    Notes
    -----
    O(1) amortised for each item; no Python for typed items. **Thread safety.** One thread at a
    time; a second is refused with `RuntimeError`.
    """

    def __cinit__(self, *args, **kwargs):
        self.objects = []
        declare_traits(self, CollectSink, NATIVE | LENDS | TRACED)

    @classmethod
    def __class_getitem__(cls, item):
        """``CollectSink[list[str]]``, for annotations."""
        return GenericAlias(cls, item)

    def __dealloc__(self):
        PyMem_RawFree(self.data)

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        if not self.grow_for(count):
            sr_ensure_thread_state()
            return self.raise_growth()
        memcpy(self.data + self.count * self.itemsize, items, count * self.itemsize)
        self.count_window(count)
        taken[0] += count
        return 0

    cdef Py_ssize_t lend_slots(self) noexcept nogil:
        if not self.grow_for(1):
            return 0
        self.cursor = self.data + self.count * self.itemsize
        return self.allocated - self.count

    cdef void count_window(self, Py_ssize_t count) noexcept nogil:
        self.count += count
        self.received += count

    cdef bint grow_for(self, Py_ssize_t count) noexcept nogil:
        cdef Py_ssize_t allocated = max(self.allocated, 64)
        cdef void *data
        if self.count + count > self.allocated or self.data == NULL:
            while self.count + count > allocated:
                allocated *= 2
            data = PyMem_RawRealloc(self.data, allocated * self.itemsize)
            if data == NULL:
                return False
            self.data = <char *>data
            self.allocated = allocated
        return True

    cdef int raise_growth(self) except -1 with gil:
        raise MemoryError(f"no memory to collect more than {self.count} items")

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        cdef Py_ssize_t i
        for i in range(count):
            self.objects.append(<object>items[i])
            self.received += 1
            taken[0] += 1
        return 0

    @property
    def items(self):
        """All that was gathered, oldest first: the list itself, or one ndarray, a copy (O(n))."""
        cdef int before
        dtype = bound_dtype(self)
        if dtype is None:
            with cython.critical_section(self):
                return self.objects
        before = self.enter_any()
        try:
            return copy_block(dtype, self.data, self.count)
        finally:
            sr_state_store(&self.state, before)

    cdef int enter_any(self) except -1:
        """Enter, also a closed sink, whose items can still be read. Returns the state to leave to."""
        if sr_state_cas(&self.state, SR_CLOSED, SR_BUSY) == SR_CLOSED:
            return SR_CLOSED
        self.enter()
        return SR_OPEN

    def take(self):
        """Remove all that was gathered and return it, without a copy.

        Returns
        -------
        list or ndarray
            Oldest first.
        """
        cdef void *data
        cdef Py_ssize_t count
        dtype = bound_dtype(self)
        cdef int before = self.enter_any()
        try:
            if dtype is None:
                fresh = []
                with cython.critical_section(self):  # `items` and `len` don't enter
                    taken, self.objects = self.objects, fresh
                    self.given_away = self.received
                return taken
            if self.count == 0:
                return new_block(dtype, 0)
            data = PyMem_RawRealloc(self.data, self.count * self.itemsize)  # shrinks
            if data != NULL:
                self.data = <char *>data
                self.allocated = self.count
            owner = PyCapsule_New(self.data, NULL, free_capsule)
            data, count = self.data, self.count
            self.data = NULL  # the capsule owns the memory now
            self.count = self.allocated = 0
            self.given_away = self.received
            return view_block(dtype, data, count, owner, True)
        finally:
            sr_state_store(&self.state, before)

    cdef int trace(self, Tracer tracer) except -1:
        # The list of objects is the caller's too, who may have changed it.
        cdef bint was_changed = self.item_type is None and len(self) != self.received - self.given_away
        if tracer.keeps(self, self.received + self.uncounted(), self.given_away, was_changed):
            tracer.give(self.read_kept(tracer.start, tracer.count, tracer.number))
        return 0

    cdef object read_kept(self, long long start, Py_ssize_t count, object number):
        cdef long long at
        cdef int before = self.enter_any()
        try:
            at = start - self.given_away
            if at < 0:
                raise items_error(IndexError, number, min(count, -at), "taken from a CollectSink", "was", "were")
            if self.item_type is None:
                return self.objects[at:at + count]
            return copy_block(self.item_type, self.data + <Py_ssize_t>at * self.itemsize, count)
        finally:
            sr_state_store(&self.state, before)

    def __len__(self):
        with cython.critical_section(self):
            return self.count + self.uncounted() + len(self.objects)  # of the two counts, one is 0

    def __repr__(self):
        return f"<CollectSink: {len(self)} items>"
