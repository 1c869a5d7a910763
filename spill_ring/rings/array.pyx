"""A ring of numpy items: the face of a `TypedRing` for Python and numpy."""
cimport cython
cimport numpy as cnp

from spill_ring._core.arguments cimport capacity_of, count_of
from spill_ring._core.chain cimport ensure_atomic
from spill_ring._core.block cimport (
    as_number, copy_block, is_block, is_like_item, item_dtype, new_block, scalar_of, view_block,
)
from spill_ring._core.conversion cimport as_destination, cast_items, is_array_like
from spill_ring._core.cpython cimport PyFloat_AS_DOUBLE, PyIndex_Check
from spill_ring._core.guard cimport SR_BUSY, SR_OPEN, sr_state_cas, sr_try_lock, sr_unlock
from spill_ring._core.methods cimport add_methods
from spill_ring._core.scalar cimport scalar_index
from spill_ring._core.sink cimport LENDS, NATIVE, TRACED, declare_traits
from spill_ring._core.status cimport UNFINISHED, raise_scalar, raise_status
from spill_ring._core.storage cimport Storage, allocate
from spill_ring.rings.engine cimport (
    commit_numbered, commit_status, leave_with_window, pop_status, push_status, reserve_status,
)
from spill_ring.rings.loan cimport Loan, lend
from spill_ring.rings.typed cimport TypedRing, finish_push, finish_reserve
from spill_ring.serialization.record cimport SMALL_ITEM, item_block, items_block, load_item, make_item, record_of

from itertools import islice
from types import GenericAlias

import numpy as np

cnp.import_array()


cdef int DOUBLE = scalar_index(<double *>NULL)


@cython.no_gc_clear
cdef class ArrayRing(TypedRing):
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
        self.item_type = np.dtype("f8")  # until __init__ knows better, since an array is compared with it

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
            What numpy would assign with ``casting="same_kind"``, of shape ``dtype.shape``, if nothing is lost; a
            record is a tuple or one of numpy's, with the same field names.

        Raises
        ------
        TypeError
            `item` is of another kind, or would be changed: text too long, a fraction for an integer, a part of a
            time that is finer than the unit, a time zone, a masked value, fields of other names; also in a record.
        OverflowError
            It is an integer or a time out of range.
        ValueError
            Its shape is not that of the dtype.
        Exception
            Whatever the sink raises; then `item` was not appended.
        """
        # A float that evicts nothing takes this short way. Everything else is left to push_any.
        if self.scalar == DOUBLE and isinstance(item, float) and sr_try_lock(&self.state):
            if self.tail < self.limit:
                (<double *>self.base)[self.tail & self.mask] = PyFloat_AS_DOUBLE(item)
                self.tail += 1
                sr_unlock(&self.state)
                return
            sr_unlock(&self.state)
        self.push_any(item)

    cdef int push_any(self, object item) except -1:
        cdef long long small[SMALL_ITEM]
        cdef cnp.ndarray block
        if as_number(item, self.scalar, small):
            return push_run(self, small, 1)
        if is_like_item(item, self.item_type) and not self.overlaps(cnp.PyArray_DATA(item)):
            return push_run(self, cnp.PyArray_DATA(item), 1)
        if self.itemsize <= <Py_ssize_t>sizeof(small):
            make_item(self.record, item, self.item_type, <char *>small)
            return push_run(self, small, 1)
        block = item_block(self.record, item, self.item_type)
        return push_run(self, cnp.PyArray_DATA(block), 1)

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
        self.enter()  # only now, since to convert an item may run Python
        return self.write_fitting(converted, 1) == 1

    def extend(self, items, /):
        """Push each item, oldest first, at the speed of memcpy.

        The outcome is that of pushing one by one, with one sink call for each evicted run: the
        oldest residents in one block, and in another what doesn't stay because there are more items
        than the capacity.

        Parameters
        ----------
        items : array_like or iterable
            Shape ``(n,) + dtype.shape``, what `push` would take. A
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
        return push_run(self, cnp.PyArray_DATA(block), cnp.PyArray_DIM(block, 0))

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
        if not is_array_like(items):
            items = list(islice(iter(items), self.size - self.count()))
        block = items_block(self.record, items, self.item_type)
        if self.overlaps(cnp.PyArray_DATA(block)):
            block = block.copy()
        self.enter()
        # To draw items from a generator may have pushed others here, so that fewer fit.
        return self.write_fitting(cnp.PyArray_DATA(block), cnp.PyArray_DIM(block, 0))

    cdef int push_block(self, const void *items, Py_ssize_t count) except -1 nogil:
        ensure_atomic(self)
        return push_run(self, items, count)

    cdef int push_scalar(self, const void *value, int scalar) except -1 nogil:
        if scalar != self.scalar:
            return raise_scalar(self, scalar)
        self.push_block(value, 1)
        if sr_state_cas(&self.state, SR_OPEN, SR_BUSY) == SR_OPEN:
            leave_with_window(self)
        return 0

    cdef int append_copy(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        block = copy_block(self.item_type, items, count)
        return self.append(cnp.PyArray_DATA(block), count, taken)

    # -- reserving -------------------------------------------------------------------------------

    cdef void *reserve(self, Py_ssize_t count) except NULL nogil:
        ensure_atomic(self)
        return reserve_run(self, count)

    cdef int commit(self, Py_ssize_t count) except -1 nogil:
        ensure_atomic(self)
        return commit_run(self, count)

    # -- popping ---------------------------------------------------------------------------------

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
        count = pop_run(self, cnp.PyArray_DATA(block), cnp.PyArray_DIM(block, 0))
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
            return pop_run(self, cnp.PyArray_DATA(array), cnp.PyArray_DIM(array, 0))
        self.enter()
        try:
            count = min(<Py_ssize_t>len(array), self.sync_head())
            array[:count] = cast_items(self.live()[:count], array.dtype)
            self.pop_oldest(count)
            return count
        finally:
            self.leave()

    cdef Py_ssize_t pop_block(self, void *out, Py_ssize_t count) except -1 nogil:
        ensure_atomic(self)
        return pop_run(self, out, count)

    # -- looking ---------------------------------------------------------------------------------

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

    def view(self):
        """The live content as one ndarray: read-only, contiguous, zero-copy. O(1).

        Returns
        -------
        ndarray
            Shape ``(len(ring),) + dtype.shape``, oldest first. It shows what later pushes write over
            its items, and keeps the memory alive. On the heap (where memory can't be mapped twice)
            the part beyond the memory's end is a copy.
        """
        self.enter()
        try:
            return self.live()
        finally:
            self.leave()

    cdef object items_at(self, object index):
        if PyIndex_Check(index) and not isinstance(index, np.ndarray):
            return TypedRing.items_at(self, index)
        self.enter()  # to look at an index may run Python
        try:
            items = self.live()[index]
            # A record that numpy gives as a scalar may share the ring's memory, as a view does.
            return items.copy() if isinstance(items, (np.ndarray, np.void)) else items
        finally:
            self.leave()

    def __setitem__(self, index, items):
        raise TypeError(
            f"the items of an {type(self).__name__} stay as pushed, because its sink and its history count on "
            "that; change a copy of them, and push it"
        )

    @property
    def shape(self):
        """``(len(ring),) + dtype.shape``: the shape of `view`."""
        return (self.count(), *(<cnp.dtype>self.item_type).shape)

    @property
    def ndim(self):
        """Dimensions of `view`: 1, and those of a sub-array dtype."""
        return 1 + len((<cnp.dtype>self.item_type).shape)

    @property
    def size(self):
        """Elements of `view`: items, times the elements of a sub-array dtype."""
        return self.view().size

    @property
    def nbytes(self):
        """Bytes of the items that the ring holds."""
        return self.count() * self.itemsize

    def __eq__(self, other):
        return self.view() == other

    def __ne__(self, other):
        return self.view() != other

    def __hash__(self):
        return object.__hash__(self)  # by identity, as every sink's

    def __dlpack__(self, **options):
        """A copy of the content, for `from_dlpack` of another library."""
        return self.latest(self.size).__dlpack__(**options)

    def __dlpack_device__(self):
        """The processor's memory."""
        return self.latest(0).__dlpack_device__()

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
                item = item_block(self.record, item, self.item_type)[0]  # a tuple becomes a record here
            if np.shape(item) != self.item_type.shape:
                return False
            equal = live == item
        except (TypeError, ValueError):  # items of this dtype can't equal it
            return False
        if np.shape(equal) != live.shape:
            return False
        return bool(equal.reshape(len(live), -1).all(axis=1).any()) if len(live) else False

    cdef str repr_items(self):
        return np.array2string(self.view(), separator=", ", threshold=10, edgeitems=3)


# -- what the methods for Python and those for Cython share ------------------------------------------------
#
# The caller has the GIL, or the ring is atomic.

cdef int push_run(ArrayRing ring, const void *items, Py_ssize_t count) except -1 nogil:
    cdef int status = push_status(ring, items, count, False)
    if status == UNFINISHED:
        status = finish_push(ring, items, count)
    return raise_status(ring, status, count, ring.size) if status else 0


cdef Py_ssize_t pop_run(ArrayRing ring, void *out, Py_ssize_t count) except -1 nogil:
    cdef Py_ssize_t popped = pop_status(ring, out, count)
    return raise_status(ring, <int>popped, count, ring.size) if popped < 0 else popped


cdef void *reserve_run(ArrayRing ring, Py_ssize_t count) except NULL nogil:
    cdef void *dest = NULL
    cdef int status = reserve_status(ring, count, &dest)
    if status == UNFINISHED:
        status = finish_reserve(ring, count, &dest)
    if status:
        raise_status(ring, status, count, ring.size)
    return dest


cdef int commit_run(ArrayRing ring, Py_ssize_t count) except -1 nogil:
    cdef int status = commit_status(ring, count)
    return raise_status(ring, status, count, ring.reserved) if status else 0


cdef object begin_reservation(object lender, Loan loan):
    cdef ArrayRing ring = lender
    cdef void *dest = reserve_run(ring, loan.count)
    loan.number = ring.reservations
    try:
        return view_block(ring.item_type, dest, loan.count, ring.storage, True)
    except BaseException:
        commit_numbered(ring, 0, loan.number)
        raise


cdef int end_reservation(object lender, Loan loan, bint raised) except -1:
    return commit_numbered(<ArrayRing>lender, 0 if raised else loan.count, loan.number)


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
    commit_run(self, count_of(n))


add_methods(ArrayRing, (reserve, commit))
del reserve, commit
