"""What sinks share that gather items into groups."""
cimport numpy as cnp
from cpython.object cimport PyObject
from libc.string cimport memcpy, memmove

from spill_ring._core.arguments cimport capacity_of
from spill_ring._core.lifecycle cimport warn_lost
from spill_ring._core.block cimport new_block
from spill_ring.sinks.forwarding cimport ForwardingSink
from spill_ring._core.guard cimport SR_CLOSED, sr_state_load
from spill_ring._core.sink cimport count_items
from spill_ring._core.status cimport raise_abstract

cnp.import_array()


cdef class GroupingSink(ForwardingSink):
    """What `BatchSink` and `ReduceSink` share: items are gathered into groups of n. Not made by hand."""

    def __cinit__(self, *args, **kwargs):
        self.is_guarded = True
        self.objects = []

    cdef int attach_groups(self, object n, object given) except -1:
        cdef Py_ssize_t size = capacity_of(n, "n")
        self.attach(given)
        self.n = size
        return 0

    cdef int allocate_for(self, object dtype) except -1:
        """The memory for one group, before anything can be sent."""
        if dtype is None:
            return 0
        try:
            self.group = new_block(dtype, self.n)
        except (MemoryError, ValueError):
            raise MemoryError(f"no memory for groups of {self.n} items of {dtype!r}") from None
        self.group_data = <char *>cnp.PyArray_DATA(self.group)
        return 0

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 nogil:
        cdef const char *source = <const char *>items
        cdef Py_ssize_t done = 0  # of these items
        cdef Py_ssize_t part
        try:
            while True:
                if self.n_filled == self.n:
                    self.forward_group()
                elif done == count:
                    return 0
                elif self.n_filled == 0 and count - done >= self.n:
                    # Whole groups need no copy.
                    self.forward(source + done * self.itemsize, (count - done) // self.n, &done)
                else:
                    part = min(self.n - self.n_filled, count - done)
                    memcpy(self.group_data + self.n_filled * self.itemsize, source + done * self.itemsize,
                           part * self.itemsize)
                    self.n_filled += part
                    done += part
        finally:
            taken[0] += done

    cdef int forward_group(self) except -1 nogil:
        """Send on the gathered group, full or not; items that the target does not take stay."""
        cdef Py_ssize_t taken = 0
        try:
            if self.n_filled == self.n:
                self.forward(self.group_data, 1, &taken)
            else:
                self.forward_part(&taken)
        finally:
            self.n_filled -= taken
            memmove(self.group_data, self.group_data + taken * self.itemsize, self.n_filled * self.itemsize)
        return 0

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        cdef Py_ssize_t i = 0
        while True:
            if len(self.objects) == self.n:
                self.forward_objects()
            elif i == count:
                return 0
            else:
                self.objects.append(<object>items[i])
                taken[0] += 1
                i += 1

    cdef int forward(self, const void *items, Py_ssize_t groups, Py_ssize_t *taken) except -1 nogil:
        """Send on `groups` groups of n items; add to `taken` the items that were taken, of the groups."""
        return raise_abstract(self, "forward")

    cdef int forward_part(self, Py_ssize_t *taken) except -1 nogil:
        """Send on the group that is still filling."""
        return raise_abstract(self, "forward_part")

    cdef int forward_objects(self) except -1:
        """Send on the gathered objects; those that are taken leave the list."""
        return raise_abstract(self, "forward_objects")

    cdef int forward_all(self, Py_ssize_t min_count) except -1:
        if self.n_filled >= min_count:
            self.forward_group()
        if len(self.objects) >= min_count:
            self.forward_objects()
        return 0

    cdef list undelivered(self, Py_ssize_t n_skipped):
        cdef Py_ssize_t skipped
        cdef list parts = []
        if sr_state_load(&self.state) == SR_CLOSED:
            return parts
        self.enter()
        try:
            if self.passes_unchanged:
                parts = self.target.undelivered(n_skipped)
                n_skipped -= min(n_skipped, count_items(parts))
            if self.item_type is None:
                parts.append(list(self.objects))
                del self.objects[:n_skipped]
            else:
                parts.append(self.group[:self.n_filled].copy())
                skipped = min(n_skipped, self.n_filled)
                self.n_filled -= skipped
                memmove(self.group_data, self.group_data + skipped * self.itemsize, self.n_filled * self.itemsize)
            return parts
        finally:
            self.leave()

    def __del__(self):
        if sr_state_load(&self.state) != SR_CLOSED and len(self):
            try:
                self.flush_groups(1)
            except BaseException as error:
                warn_lost(self, len(self), error)
        ForwardingSink.__del__(self)

    def __len__(self):
        return self.n_filled + len(self.objects)

    @property
    def n(self):
        """Items in a group."""
        return self.n

    def __repr__(self):
        return f"{type(self).__name__}({self.n}, {self.sink!r})"
