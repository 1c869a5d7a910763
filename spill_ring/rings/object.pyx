"""A ring of Python objects."""
cimport cython
from cpython.list cimport PyList_New
from cpython.object cimport PyObject

from spill_ring._core.arguments cimport capacity_of, count_of
from spill_ring._core.cpython cimport PyList_SET_ITEM, PySequence_Fast_ITEMS, Py_DECREF, Py_INCREF
from spill_ring._core.guard cimport SR_OPEN, sr_state_store, sr_try_lock, sr_unlock
from spill_ring._core.sink cimport TRACED, Sink, declare_traits, deliver_objects
from spill_ring.rings.base cimport Ring

from itertools import islice
from types import GenericAlias


# The garbage collector clears the list as it clears any list, and `slots` raises from then on. To clear the ring's own
# references as well would only leave half a ring.
@cython.no_gc_clear
cdef class ObjectRing(Ring):
    """ObjectRing(capacity, sink=None)\n--\n
    A ring of any Python objects: it keeps the newest, and sends the oldest to a sink.

    Parameters
    ----------
    capacity : int
        Items it holds, at least 1.
    sink : sink, optional
        Gets each object that is evicted, oldest first: a `Sink`, another `ObjectRing`, a callable,
        or an object with ``send``. Without one they are dropped, as by ``deque(maxlen=capacity)``.

    Raises
    ------
    TypeError
        `capacity` is no integer; `sink` is no sink, or one for typed items.
    ValueError
        `capacity` is below 1.
    MemoryError
        There is no memory for `capacity` items.

    Notes
    -----
    `push` and `pop` are O(1), 8 bytes for each item of capacity. **Thread safety.** One thread at a
    time: a second one, or a sink that calls back into the ring, gets a `RuntimeError`.

    >>> ring = ObjectRing(4)
    >>> ring.extend([1, 2, 3, 4, 5])
    >>> list(ring)
    [2, 3, 4, 5]
    >>> ring.pop()
    2
    """

    def __cinit__(self, *args, **kwargs):
        declare_traits(self, ObjectRing, TRACED)

    def __init__(self, capacity, sink=None):
        cdef Py_ssize_t size = capacity_of(capacity)
        cdef list items
        cdef list none = [None]
        try:
            # Not [None] * size, which is PyList_New(size) in Cython: where that has no memory, a
            # free-threaded Python 3.13 frees whatever the list's memory was before, once more.
            items = none * size
        except MemoryError:
            raise MemoryError(f"no memory for {size} items") from None
        self.start(size, None, sink)
        self.items = items
        self.leave()

    @classmethod
    def __class_getitem__(cls, item):
        """``ObjectRing[int]``, for annotations."""
        return GenericAlias(cls, item)

    cdef int raise_list(self) except -1:
        raise RuntimeError("the list that holds a ring's items was changed behind its back")

    def push(self, item, /):
        """Append as newest; a full ring sends its oldest to the sink first. O(1).

        Parameters
        ----------
        item : object

        Raises
        ------
        Exception
            Whatever the sink raises; then `item` was not appended.
        """
        cdef PyObject *old
        cdef PyObject *items
        # This much is as fast as a deque's append. Everything else is left to push_full.
        if sr_try_lock(&self.state):
            items = <PyObject *>self.items
            if self.tail < self.limit and sr_list_size(items) == self.size:
                old = self.swap(sr_list_items(items), <PyObject *>item)
                sr_unlock(&self.state)
                Py_DECREF(old)  # may run a destructor that pushes here again
                return
            sr_unlock(&self.state)
        self.push_full(<PyObject *>item)

    cdef int push_full(self, PyObject *item) except -1:
        """Push into a ring that is full, or raise for one that isn't open."""
        cdef PyObject *old
        self.enter()
        try:
            if self.tail == self.limit:  # the new item goes where the oldest is
                self.evict_oldest()
            old = self.swap(self.slots(), item)
        finally:
            if self.has_deferred:
                self.run_deferred(SR_OPEN)
            else:
                self.leave()
        Py_DECREF(old)
        return 0

    cdef int evict_oldest(self) except -1:
        """Send the oldest of a full ring. Its slot keeps it: the push that follows overwrites that slot."""
        cdef Py_ssize_t taken = 0
        cdef PyObject *oldest = self.slots()[self.slot]
        _kept = <object>oldest  # alive, whatever becomes of the list
        cdef bint raised = True
        try:  # `except` would cost 5 ns where nothing is raised
            deliver_objects(self.target, &oldest, 1, &taken)
            raised = False
        finally:
            if raised and taken:  # no push follows
                self.prepare(1)
                self.spilled += 1
                self.drop_oldest(1)
        self.spilled += 1
        self.advance(1)
        return 0

    def try_push(self, item, /):
        """Append as newest if there is room; never evicts. O(1).

        Returns
        -------
        bool
            Whether it was appended.
        """
        cdef PyObject *old
        self.enter()
        try:
            if self.sync_head() == self.size:
                return False
            old = self.swap(self.slots(), <PyObject *>item)
        finally:
            self.leave()
        Py_DECREF(old)
        return True

    def extend(self, items, /):
        """Push each item, oldest first.

        The outcome is that of pushing one by one, but a list or tuple goes in as a whole: each evicted
        run goes to the sink in one step, and what doesn't stay goes on to the sink.

        Parameters
        ----------
        items : iterable

        Raises
        ------
        Exception
            Whatever the sink raises; ``stats.pushed`` tells how many items were taken.
        """
        cdef Py_ssize_t taken = 0
        if not isinstance(items, (list, tuple)) and items is not self:
            for item in items:
                self.push(item)
            return
        items = list(items)  # nobody else can change it while a sink runs
        self.enter()
        try:
            if len(items) <= self.limit - self.tail:
                self.exchange(<PyObject *>items)
            else:
                self.append(PySequence_Fast_ITEMS(items), len(items), &taken)
        finally:
            if self.has_deferred:
                self.run_deferred(SR_OPEN)
            else:
                self.leave()

    cdef int exchange(self, PyObject *new) except -1:
        """Push a list of the caller's own, for which no item has to be sent. It is left with what the slots held.

        So no reference is counted, and the caller releases what was overwritten once it has left the ring.
        """
        cdef PyObject **slots = self.slots()
        cdef PyObject **items = sr_list_items(new)
        cdef Py_ssize_t count = sr_list_size(new)
        cdef Py_ssize_t slot = self.slot
        cdef Py_ssize_t i
        for i in range(max(0, count - self.size), count):
            slots[slot], items[i] = items[i], slots[slot]
            slot = slot + 1 if slot + 1 < self.size else 0
        self.slot = slot
        self.tail += count
        return 0

    def try_extend(self, items, /):
        """Push as many of the first items as there is room for; never evicts.

        Parameters
        ----------
        items : iterable
            No more is drawn from an iterator than is taken.

        Returns
        -------
        int
            How many were taken.
        """
        cdef Py_ssize_t taken = 0
        cdef list fitting = list(islice(iter(items), self.size - self.count()))
        self.enter()
        try:
            # To draw items from an iterator may have pushed others here, so that fewer fit.
            self.append(PySequence_Fast_ITEMS(fitting), min(len(fitting), self.size - self.sync_head()), &taken)
            return taken
        finally:
            self.run_deferred(SR_OPEN)

    cdef int write_new(self, const void *items, Py_ssize_t count) except -1 nogil:
        cdef Py_ssize_t i
        cdef PyObject **slots
        with gil:
            self.prepare(count)
            slots = self.slots()
            for i in range(count):
                self.discard(self.swap(slots, (<PyObject **>items)[i]))
        return 0

    cdef int prepare(self, Py_ssize_t count) except -1 nogil:
        with gil:
            if self.trash is None:
                self.trash = []
                self.trashed = 0
            self.trash += [None] * count
            self.has_deferred = True
        return 0

    cdef int discard(self, PyObject *item) except -1:
        """Move a reference to the trash, from where it is released after the ring is left."""
        cdef PyObject **trash = sr_list_items(<PyObject *>self.trash)
        if self.trashed < sr_list_size(<PyObject *>self.trash):
            item, trash[self.trashed] = trash[self.trashed], item
            self.trashed += 1
        Py_DECREF(item)
        return 0

    cdef int run_deferred(self, int state) except -1:
        self.has_deferred = False
        _trash, self.trash = self.trash, None  # freed when this returns
        sr_state_store(&self.state, state)
        return 0

    cdef int forward_new(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        with gil:
            return deliver_objects(self.target, <PyObject **>items, count, taken)

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        return self.append(items, count, taken)

    cdef int send_oldest(self, Sink sink, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        with gil:
            items = tuple(self.copy(self.head, count, 1))  # alive, whatever becomes of the list
            deliver_objects(sink, PySequence_Fast_ITEMS(items), count, taken)
        return 0

    cdef int drop_oldest(self, Py_ssize_t count) except -1 nogil:
        cdef Py_ssize_t slot = self.slot_of(self.head)
        cdef Py_ssize_t _
        cdef PyObject **slots
        cdef PyObject *item
        self.advance(count)
        with gil:
            slots = self.slots()
            for _ in range(count):
                item = slots[slot]
                Py_INCREF(<PyObject *>None)
                slots[slot] = <PyObject *>None
                slot = slot + 1 if slot + 1 < self.size else 0
                self.discard(item)
        return 0

    cdef list pop_list(self, Py_ssize_t count):
        """Pop the oldest `count`, as a list."""
        cdef PyObject **slots = self.slots()
        cdef Py_ssize_t slot = self.slot_of(self.head)
        cdef Py_ssize_t i
        cdef list taken = PyList_New(count)
        for i in range(count):
            PyList_SET_ITEM(taken, i, slots[slot])  # with the slot's reference
            Py_INCREF(<PyObject *>None)
            slots[slot] = <PyObject *>None
            slot = slot + 1 if slot + 1 < self.size else 0
        self.pop_oldest(count)
        return taken

    cdef object item(self, long long position):
        return <object>self.slots()[self.slot_of(position)]

    cdef object copy(self, long long position, Py_ssize_t count, Py_ssize_t step):
        cdef Py_ssize_t i
        cdef PyObject *item
        cdef list copied = PyList_New(count)
        cdef PyObject **slots = self.slots()  # looked up last, since a new list may run the garbage collector
        for i in range(count):
            item = slots[self.slot_of(position + i * step)]
            Py_INCREF(item)
            PyList_SET_ITEM(copied, i, item)
        return copied

    def pop(self, default=...):
        """Remove and return the oldest item. O(1).

        Parameters
        ----------
        default : object, optional
            Returned when the ring is empty.

        Raises
        ------
        IndexError
            The ring is empty and there is no default.
        """
        cdef PyObject **slots
        cdef Py_ssize_t slot
        self.enter()
        try:
            if self.sync_head() == 0:
                if default is ...:  # none was given
                    raise IndexError(f"pop from an empty {type(self).__name__}")
                return default
            slots = self.slots()
            slot = self.slot_of(self.head)
            item = <object>slots[slot]
            Py_DECREF(slots[slot])  # `item` has one of its own
            Py_INCREF(<PyObject *>None)
            slots[slot] = <PyObject *>None
            self.pop_oldest(1)
            return item
        finally:
            self.leave()

    def pop_many(self, n=None):
        """Remove the oldest items.

        Parameters
        ----------
        n : int, optional
            How many; all of them by default, fewer if there are fewer.

        Returns
        -------
        list
            Oldest first.
        """
        cdef Py_ssize_t count = self.size if n is None else count_of(n)
        self.enter()
        try:
            count = min(count, self.sync_head())
            return self.pop_list(count)
        finally:
            self.leave()

    def __contains__(self, item):
        for held in self:
            if held is item or held == item:
                return True
        return False

    cdef str repr_items(self):
        if self.count() <= 10:
            return repr(self[:])
        return f"[{repr(self[:3])[1:-1]}, ..., {repr(self[-3:])[1:-1]}]"
