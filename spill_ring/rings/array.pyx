"""A ring of numpy items."""
cimport cython
cimport numpy as cnp
from libc.string cimport memmove

from spill_ring._core.arguments cimport capacity_of, count_of
from spill_ring._core.block cimport (
    as_number, as_destination, copy_block, is_array_like, is_block, item_dtype, new_block, scalar_of, view_block,
)
from spill_ring._core.guard cimport SR_WINDOW, SR_BUSY, SR_OPEN, SR_RESERVED, sr_try_lock, sr_state_store, sr_unlock, sr_state_cas
from spill_ring.rings.loan cimport Loan, add_methods, lend
from spill_ring.serialization.record cimport item_block, items_block, load_item, record_of
from spill_ring.rings.base cimport Ring
from spill_ring._core.scalar cimport scalar_index
from spill_ring._core.lending cimport LendingSink
from spill_ring._core.sink cimport LENDS, NATIVE, TRACED, Sink, declare_traits, deliver
from spill_ring._core.storage cimport Storage, allocate

from itertools import islice
from types import GenericAlias

import numpy as np

cnp.import_array()


cdef extern from "Python.h":
    double PyFloat_AS_DOUBLE(object o)


cdef int DOUBLE = scalar_index(<double *>NULL)


@cython.no_gc_clear
cdef class ArrayRing(Ring):
    """ArrayRing(capacity, dtype="f8", sink=None)\n--\n
    A ring of numpy items: it keeps the newest, and sends the oldest to a sink in blocks.

    Parameters
    ----------
    capacity : int
        Items it holds, at least 1.
    dtype : dtype, default "f8"
        Any dtype of fixed size without references: numbers, bool, times, ``S16``, ``U16``, records,
        or a sub-array such as ``("f4", (8,))`` for frames of 8 channels. With a class that has `record`
        above it, its instances go in beside numpy's items, and single items come out as instances.
    sink : sink, optional
        Gets each run of items that is evicted, oldest first: a `Sink`, another `ArrayRing` of the
        same dtype, a callable, or an object with ``send``. Without one they are dropped.

    Raises
    ------
    TypeError
        `capacity` is no integer; `dtype` is none, or holds references; `sink` is no sink, or one for
        other items.
    ValueError
        `capacity` is below 1, or the dtype's size is 0.
    MemoryError
        There is no memory for `capacity` items.

    Notes
    -----
    The memory, a power of two of items in whole pages, is allocated once and mapped twice in a row
    where the platform can, so that any run of items is contiguous. Blocks go in and out at one
    memcpy, and no memory is allocated for items after construction. **Thread safety.** One thread
    at a time: a second one, or a sink that calls back into the ring, gets a `RuntimeError`.

    >>> archive = ArrayRing(64)
    >>> ring = ArrayRing(8, sink=archive)
    >>> ring.extend(range(100))
    >>> ring.view()
    array([92., 93., 94., 95., 96., 97., 98., 99.])
    >>> archive.peek(), archive.peek_back()
    (np.float64(28.0), np.float64(91.0))
    """

    def __cinit__(self, *args, **kwargs):
        declare_traits(self, ArrayRing, NATIVE | LENDS | TRACED)
        self.item_type = np.dtype("f8")  # until __init__ knows better: an array is compared with it

    def __init__(self, capacity, dtype="f8", sink=None):
        record = record_of(dtype)
        cdef cnp.dtype items = item_dtype(dtype if record is None else record.dtype)
        cdef Py_ssize_t size = capacity_of(capacity)
        cdef Storage storage = allocate(size, items.itemsize)
        cdef int scalar = scalar_of(items)
        self.start(size, items, sink)
        self.record = record
        self.storage = storage
        self.base = storage.base
        self.mask = storage.nbytes // items.itemsize - 1
        self.scalar = scalar
        if self.target is not None and self.target.traits & LENDS:
            self.lender = self.target
        self.leave()

    @classmethod
    def __class_getitem__(cls, item):
        """``ArrayRing[np.float32]``, for annotations."""
        return GenericAlias(cls, item)

    @property
    def dtype(self):
        """The dtype of the items, as it was given."""
        return self.item_type

    @property
    def capsule(self):
        """The ring for C: a PyCapsule of a ``spill_ring_interface``, which ``spill_ring/interface.h`` declares.

        It keeps the ring alive. Compiled code may call from any thread, one at a time.
        """
        from spill_ring.interop.c_interface import capsule_of  # runs up, and only where it is asked for

        return capsule_of(self)

    @property
    def ctypes(self):
        """`capsule` as a ctypes structure, `spill_ring.interop.c_interface.Interface`; for numba too."""
        from spill_ring.interop.c_interface import ctypes_of

        return ctypes_of(self)

    @property
    def cffi(self):
        """`capsule` as a pointer of cffi's, which is imported for it; ModuleNotFoundError where it isn't there."""
        from spill_ring.interop.c_interface import cffi_of

        return cffi_of(self)

    # -- pushing ---------------------------------------------------------------------------------

    def push(self, item, /):
        """Append as newest; a full ring sends its oldest to the sink first. O(1).

        Parameters
        ----------
        item : scalar or array_like
            What numpy would assign with ``casting="same_kind"``; of shape ``dtype.shape``. Python
            objects for records and times are read as ``np.array(item, dtype)`` reads them.

        Raises
        ------
        TypeError
            `item` is of another kind.
        OverflowError
            It is an integer out of range.
        ValueError
            Its shape is not that of the dtype.
        Exception
            Whatever the sink raises; then `item` was not appended.
        """
        # No more than this for a float that evicts nothing; all else goes to push_any.
        if self.scalar == DOUBLE and isinstance(item, float) and sr_try_lock(&self.state):
            if self.tail < self.limit:
                (<double *>self.base)[self.tail & self.mask] = PyFloat_AS_DOUBLE(item)
                self.tail += 1
                sr_unlock(&self.state)
                return
            sr_unlock(&self.state)
        self.push_any(item)

    cdef int push_any(self, object item) except -1:
        cdef long long value  # or any smaller number
        cdef cnp.ndarray block
        if as_number(item, self.scalar, &value):
            return self.push_block(&value, 1)
        block = item_block(self.record, item, self.item_type)
        return self.push_block(cnp.PyArray_DATA(block), 1)

    def try_push(self, item, /):
        """Append as newest if there is room; never evicts. O(1).

        Returns
        -------
        bool
            Whether it was appended.

        Raises
        ------
        TypeError, OverflowError, ValueError
            As `push` does.
        """
        cdef long long value
        cdef const void *converted = &value
        cdef cnp.ndarray block
        if not as_number(item, self.scalar, &value):
            block = item_block(self.record, item, self.item_type)
            converted = cnp.PyArray_DATA(block)
        self.enter()  # only now: to convert an item may run Python
        if self.sync_head() == self.size:
            self.leave()
            return False
        self.write(converted, 1)
        self.leave()
        return True

    def extend(self, items, /):
        """Push each item, oldest first, at the speed of memcpy.

        The outcome is that of pushing one by one, with one sink call for each evicted run: the
        oldest residents in one block, and in another what doesn't stay because there are more items
        than the capacity.

        Parameters
        ----------
        items : array_like or iterable
            Shape ``(n,) + dtype.shape``, what numpy would assign with ``casting="same_kind"``. A
            C-contiguous ndarray of the ring's own dtype is copied as it is; all else is converted
            first. A generator is pushed item by item.

        Raises
        ------
        TypeError, OverflowError, ValueError
            As `push` does; nothing was pushed. (Of a generator, what came before.)
        Exception
            Whatever the sink raises; ``stats.pushed`` tells how many items were taken.
        """
        if is_block(items, self.item_type):
            self.extend_block(items)
        elif is_array_like(items):
            self.extend_block(items_block(self.record, items, self.item_type))
        else:
            for item in items:
                self.push(item)

    cdef int extend_block(self, object items) except -1:
        cdef cnp.ndarray block = <cnp.ndarray>items
        if self.overlaps(cnp.PyArray_DATA(block)):
            block = block.copy()
        return self.push_block(cnp.PyArray_DATA(block), cnp.PyArray_DIM(block, 0))

    def try_extend(self, items, /):
        """Push as many of the first items as there is room for; never evicts.

        Parameters
        ----------
        items : array_like or iterable
            As for `extend`. No more is drawn from a generator than is taken.

        Returns
        -------
        int
            How many were taken.
        """
        cdef cnp.ndarray block
        cdef Py_ssize_t count
        cdef Py_ssize_t room = self.size - self.count()
        if not is_array_like(items):
            items = list(islice(iter(items), room))
        block = items_block(self.record, items, self.item_type)
        if self.overlaps(cnp.PyArray_DATA(block)):
            block = block.copy()
        self.enter()
        count = min(cnp.PyArray_DIM(block, 0), self.size - self.sync_head())  # drawing them may have pushed others here
        self.write(cnp.PyArray_DATA(block), count)
        self.leave()
        return count

    cdef int push_block(self, const void *items, Py_ssize_t count) except -1 nogil:
        self.enter()
        if self.evicts_nothing(count):
            self.write(items, count)
            self.leave()
            return 0
        return self.push_over(items, count)

    cdef int push_over(self, const void *items, Py_ssize_t count) except -1 nogil:
        cdef Py_ssize_t taken = 0
        try:
            if count < 0:
                self.raise_count(count, self.size)
            self.append(items, count, &taken)
        finally:
            self.leave()
        return 0

    cdef int push_scalar(self, const void *value, int scalar) except -1 nogil:
        if scalar != self.scalar:
            return self.raise_scalar(scalar)
        self.push_block(value, 1)
        if sr_state_cas(&self.state, SR_OPEN, SR_BUSY) == SR_OPEN:
            self.open_push_window()
        return 0

    cdef void open_push_window(self) noexcept nogil:
        """Leave with room for `push_value`, if there is any without a call."""
        cdef Py_ssize_t room = self.lend_slots()
        cdef long long oldest = self.head & self.mask
        self.window_start = self.cursor
        if room:
            self.window_end = self.stops[self.scalar] = self.cursor + room * self.itemsize
        elif self.lender is not None and self.lender.open_window():
            # Full: each new item moves the oldest, which is as far from it up to where the memory ends for either.
            room = <Py_ssize_t>(self.mask + 1 - max(oldest, self.tail & self.mask))
            self.evicting_stops[self.scalar] = self.cursor + room * self.itemsize
            self.oldest_offset = self.base + <Py_ssize_t>oldest * self.itemsize - self.cursor
            self.window_evicts = True
        else:
            self.leave()
            return
        sr_state_store(&self.state, SR_WINDOW)

    cdef Py_ssize_t lend_slots(self) noexcept nogil:
        self.cursor = self.base + <Py_ssize_t>(self.tail & self.mask) * self.itemsize
        return <Py_ssize_t>min(self.limit - self.tail, self.mask + 1 - (self.tail & self.mask))

    cdef void count_window(self, Py_ssize_t count) noexcept nogil:
        self.tail += count
        if self.window_evicts:
            self.spilled += count
            self.advance(count)
            self.window_evicts = False
        self.stops[self.scalar] = self.evicting_stops[self.scalar] = NULL

    cdef int raise_scalar(self, int scalar) except -1 with gil:
        kind = ("unsigned int", "int", "float")[scalar // 4]
        raise TypeError(
            f"push_value of a C {kind} of {1 << scalar % 4} bytes into an ArrayRing of dtype {self.item_type}"
        )

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        if self.overlaps(items):
            return self.append_copy(items, count, taken)
        if self.evicts_nothing(count):
            self.write(items, count)
            taken[0] += count
            return 0
        return self.append(items, count, taken)

    cdef int append_copy(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        """Push what is a view of the ring itself."""
        block = copy_block(self.item_type, items, count)
        return self.append(cnp.PyArray_DATA(block), count, taken)

    cdef int write_new(self, const void *items, Py_ssize_t count) except -1 nogil:
        self.write(items, count)
        return 0

    cdef int forward_new(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        return deliver(self.target, items, count, taken)

    # -- reserving -------------------------------------------------------------------------------

    cdef void *reserve(self, Py_ssize_t count) except NULL nogil:
        cdef long long number
        return self.reserve_numbered(count, &number)

    cdef void *reserve_numbered(self, Py_ssize_t count, long long *number) except NULL nogil:
        cdef void *room
        if not 0 <= count <= self.size:
            self.raise_count(count, self.size)
        self.enter()
        room = self.reserve_over(count)
        number[0] = self.reservations
        return room

    cdef void *reserve_over(self, Py_ssize_t count) except NULL nogil:
        cdef Py_ssize_t excess
        cdef void *room
        cdef int next_state = SR_OPEN
        try:
            excess = self.sync_head() + count - self.size
            if excess > 0:
                if self.target is None:
                    self.drop_oldest(excess)
                else:
                    self.spill(self.target, excess)
            self.reserved = count
            self.reservations += 1
            room = self.base + (self.tail & self.mask) * self.itemsize
            next_state = SR_RESERVED
        finally:
            sr_state_store(&self.state, next_state)
        return room

    cdef int commit(self, Py_ssize_t count) except -1 nogil:
        cdef int found
        found = sr_state_cas(&self.state, SR_RESERVED, SR_BUSY)
        if found == SR_OPEN or found == SR_WINDOW:
            self.raise_commit()
        elif found != SR_RESERVED:
            self.raise_for_state(found)
        return self.commit_reserved(count)

    cdef int commit_numbered(self, Py_ssize_t count, long long number) except -1 nogil:
        """Commit, unless that has been done; another reservation may be open by now."""
        if sr_state_cas(&self.state, SR_RESERVED, SR_BUSY) != SR_RESERVED:
            return 0
        if number != self.reservations:
            sr_state_store(&self.state, SR_RESERVED)
            return 0
        return self.commit_reserved(count)

    cdef int commit_reserved(self, Py_ssize_t count) except -1 nogil:
        cdef Py_ssize_t reserved = self.reserved
        if not 0 <= count <= reserved:
            sr_state_store(&self.state, SR_RESERVED)
            self.raise_count(count, reserved)
        self.storage.complete_write((self.tail & self.mask) * self.itemsize, count * self.itemsize)
        self.tail += count
        self.reserved = 0
        self.leave()
        return 0

    # Raising has functions of its own: one that makes Python objects takes the GIL when it returns.
    cdef int raise_count(self, Py_ssize_t count, Py_ssize_t room) except -1 with gil:
        raise ValueError(f"{count} items where there is room for {room}")

    cdef int raise_commit(self) except -1 with gil:
        raise RuntimeError(f"{type(self).__name__} has no open reserve() to commit")

    # -- popping ---------------------------------------------------------------------------------

    cdef char *run(self, long long position, Py_ssize_t count) noexcept nogil:
        """Where `count` resident items lie in a row."""
        cdef Py_ssize_t offset = (position & self.mask) * self.itemsize
        self.storage.complete_read(offset, count * self.itemsize)
        return self.base + offset

    cdef int send_oldest(self, Sink sink, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        return deliver(sink, self.run(self.head, count), count, taken)

    cdef int drop_oldest(self, Py_ssize_t count) except -1 nogil:
        self.advance(count)
        return 0

    cdef object item(self, long long position):
        return load_item(self.record, self.item_type, self.run(position, 1))

    cdef object copy(self, long long position, Py_ssize_t count, Py_ssize_t step):
        cdef Py_ssize_t first, last
        if step == 1:
            return copy_block(self.item_type, self.run(position, count), count)
        if count == 0:
            return new_block(self.item_type, 0)
        first = <Py_ssize_t>(position - self.head)
        last = first + (count - 1) * step
        return self.live()[min(first, last):max(first, last) + 1][(0 if step > 0 else -1)::step].copy()

    cdef object live(self):
        cdef Py_ssize_t count = self.sync_head()
        return view_block(self.item_type, self.run(self.head, count), count, self.storage, False)

    def pop(self, default=...):
        """Remove and return the oldest item. O(1).

        Parameters
        ----------
        default : object, optional
            Returned when the ring is empty.

        Returns
        -------
        scalar or ndarray
            As indexing an ndarray of this dtype gives it; of a `record`, an instance.

        Raises
        ------
        IndexError
            The ring is empty and there is no default.
        """
        self.enter()
        try:
            if self.sync_head() == 0:
                if default is ...:  # none was given
                    raise IndexError(f"pop from an empty {type(self).__name__}")
                return default
            item = load_item(self.record, self.item_type, self.base + (self.head & self.mask) * self.itemsize)
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
        ndarray
            Shape ``(k,) + dtype.shape``, oldest first; it owns its data.
        """
        cdef Py_ssize_t count = self.size if n is None else count_of(n)
        cdef cnp.ndarray block
        block = new_block(self.item_type, min(count, self.count()))
        count = self.pop_block(cnp.PyArray_DATA(block), cnp.PyArray_DIM(block, 0))
        return block if count == cnp.PyArray_DIM(block, 0) else block[:count].copy()

    def pop_into(self, out, /):
        """Remove the oldest items into an array of the caller's.

        Parameters
        ----------
        out : ndarray or writable buffer
            Room for n items, shape ``(n,) + dtype.shape``, of a dtype to which numpy casts the ring's
            with ``casting="same_kind"``. A C-contiguous ndarray of the ring's dtype takes one memcpy.

        Returns
        -------
        int
            Items removed: the first so many of `out` are new.

        Raises
        ------
        TypeError
            `out` is no buffer, or of another kind of dtype.
        ValueError
            It is read-only, has another shape, or no room for a single item.
        """
        cdef cnp.dtype dtype = self.item_type
        cdef Py_ssize_t count
        array = as_destination(out, dtype)
        if is_block(array, dtype):
            return self.pop_block(cnp.PyArray_DATA(array), cnp.PyArray_DIM(array, 0))
        self.enter()
        try:
            count = min(<Py_ssize_t>len(array), self.sync_head())
            np.copyto(array[:count], self.live()[:count], casting="same_kind")
            self.pop_oldest(count)
            return count
        finally:
            self.leave()

    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil:
        if count < 0:
            self.raise_count(count, self.size)
        self.enter()
        return self.pop_over(out, count)

    cdef Py_ssize_t pop_over(self, void *out, Py_ssize_t count) noexcept nogil:
        count = min(count, self.sync_head())
        # memmove: `out` may be a block that reserve() gave out once
        memmove(out, self.run(self.head, count), count * self.itemsize)
        self.pop_oldest(count)
        self.leave()
        return count

    # -- looking ---------------------------------------------------------------------------------

    def view(self):
        """The live content as one ndarray: read-only, contiguous, zero-copy. O(1).

        Returns
        -------
        ndarray
            Shape ``(len(ring),) + dtype.shape``, oldest first. It shows what later pushes write over
            its items, and keeps the memory alive. On the heap (where memory can't be mapped twice)
            the part behind the memory's end is a copy.
        """
        self.enter()
        try:
            return self.live()
        finally:
            self.leave()

    def __array__(self, dtype=None, copy=None):
        """For `np.asarray`: a copy, or with ``copy=False`` the live view."""
        if copy is None or copy:
            copied = self.latest(self.size)
            return copied if dtype is None else copied.astype(dtype, copy=False)
        if dtype is not None and np.dtype(dtype) != (<cnp.dtype>self.item_type).base:
            raise ValueError(f"a view of dtype {self.item_type} as {np.dtype(dtype)} needs a copy")
        return self.view()

    def __contains__(self, item):
        live = self.view()
        try:
            if self.item_type.names is not None:
                item = item_block(self.record, item, self.item_type)[0]  # a tuple is no record yet
            if np.shape(item) != self.item_type.shape:
                return False
            equal = live == item
        except (TypeError, ValueError):  # nothing that such items could equal
            return False
        if np.shape(equal) != live.shape:
            return False
        return bool(equal.reshape(len(live), -1).all(axis=1).any()) if len(live) else False

    cdef str repr_items(self):
        return np.array2string(self.view(), separator=", ", threshold=10, edgeitems=3)


cdef object begin_reservation(object lender, Loan loan):
    cdef ArrayRing ring = lender
    cdef long long number
    cdef void *room = ring.reserve_numbered(loan.count, &number)
    loan.number = number
    try:
        return view_block(ring.item_type, room, loan.count, ring.storage, True)
    except BaseException:
        ring.commit_numbered(0, number)
        raise


cdef int end_reservation(object lender, Loan loan, bint raised) except -1:
    cdef ArrayRing ring = lender
    return ring.commit_numbered(0 if raised else loan.count, loan.number)


@cython.binding(True)
def reserve(ArrayRing self not None, n, /):
    """Fill the ring's own memory, without a copy: ``with ring.reserve(n) as block: block[:] = …``

    Entering makes room for `n` new items, which may evict as many, and gives a writable ndarray
    over it; leaving pushes them. ``ring.commit(k)`` inside pushes only the first k, and ends it.
    If the block raises, nothing is pushed. Meanwhile the ring refuses every other call.

    Parameters
    ----------
    n : int
        Items, at most the capacity.

    Returns
    -------
    context manager
        Of an ndarray of shape ``(n,) + dtype.shape``. What is written to it afterwards goes into
        whatever the ring holds by then.

    Examples
    --------
    >>> ring = ArrayRing(4, "i8")
    >>> with ring.reserve(3) as block:
    ...     block[:] = [1, 2, 3]
    >>> ring
    ArrayRing([1, 2, 3], capacity=4, dtype=int64)
    """
    return lend(self, n, begin_reservation, end_reservation)


@cython.binding(True)
def commit(ArrayRing self not None, n, /):
    """Push the first `n` items of the block that `reserve` gave, and end the reservation.

    Parameters
    ----------
    n : int
        At most what was reserved.
    """
    self.commit(count_of(n))


add_methods(ArrayRing, (reserve, commit))
del reserve, commit
