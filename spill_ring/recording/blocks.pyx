"""Reads the blocks of a segment, and keeps of its index what a reader needs: little, however many entries it has.

Nothing is checked through a map: where a sector can't be read, or a file becomes shorter, a read is an error and a
look at mapped memory ends the process.
"""
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.buffer cimport (
    PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from spill_ring.recording.checksum cimport Checksum, checksum_add, checksum_begin, checksum_end, checksum_of

import os

import numpy as np

from spill_ring.recording.files import open_regular


cdef extern from "block_file.h" nogil:
    ptrdiff_t sr_read_at(int fd, void *data, size_t size, long long offset)
    void *sr_map_file(int fd, size_t size)
    void sr_unmap_file(void *base, size_t size)


cdef extern from *:
    """
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define sr_from_little(word) __builtin_bswap64(word)
    #else
    #define sr_from_little(word) (word)
    #endif
    """
    uint64_t sr_from_little(uint64_t word) noexcept nogil


cdef Py_ssize_t WINDOW = 1 << 18  # bytes that are read at once; a multiple of 32
cdef uint64_t END = (<uint64_t>1 << 63) - 1  # no item, and no byte of a file, has a greater number
cdef uint64_t PAGE_BYTES = 1 << 16  # of items in a page of several entries, at most
cdef uint64_t PAGE_ENTRIES = 4096  # in a page, at most
ENTRY_BYTES = 56  # in an index entry

cdef struct Entry:  # as `layout.INDEX_ENTRY`
    uint64_t first, count, start, size, time, checksum, own

cdef struct Page:  # as PAGE
    int64_t first, end, start, size, time, at, count
    uint64_t checksum

PAGE = np.dtype(
    [
        ("first", "i8"),  # number of the first item
        ("end", "i8"),  # of the last item, plus 1
        ("start", "i8"),  # of the items in the file, in bytes
        ("size", "i8"),  # in bytes
        ("time", "i8"),  # in the first entry
        ("at", "i8"),  # where the entries begin in the index, in bytes
        ("count", "i8"),  # of the entries
        ("checksum", "u8"),  # of the block, if it is the only one
    ]
)


cdef bint load_entry(const unsigned char *data, Entry *entry) noexcept nogil:
    """Read an index entry. False: its own checksum is wrong."""
    cdef int i
    memcpy(entry, data, sizeof(Entry))
    for i in range(7):
        (<uint64_t *>entry)[i] = sr_from_little((<uint64_t *>entry)[i])
    return checksum_of(data, sizeof(Entry) - 8) == entry.own


cdef class FileMap:
    """A file in memory, read-only, as long as somebody uses it: also when the file is removed. It is not to be cut."""

    cdef void *base
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.base, self.size, 1, flags)

    def __len__(self):
        return self.size

    def __dealloc__(self):
        if self.base != NULL:
            sr_unmap_file(self.base, self.size)


cdef class BlockFile:
    """BlockFile(path)\n--\n
    A file of a recording, open to be read. Use it in a ``with``."""

    cdef int fd
    cdef unsigned char *window  # the part that was read last
    cdef Py_ssize_t window_size
    cdef uint64_t window_start

    def __cinit__(self, path):
        self.fd = -1
        self.fd = open_regular(path)

    def __dealloc__(self):
        PyMem_RawFree(self.window)
        if self.fd >= 0:
            os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    @property
    def size(self):
        """Of the file, in bytes."""
        return os.fstat(self.fd).st_size

    cdef Py_ssize_t fill_some(self, unsigned char *data, Py_ssize_t size, uint64_t start) except -1:
        """Read up to `size` bytes: fewer at the end of the file, or before bytes that can't be read."""
        cdef Py_ssize_t done = 0
        cdef ptrdiff_t count
        while done < size:
            with nogil:
                count = sr_read_at(self.fd, data + done, size - done, <long long>(start + <uint64_t>done))
            if count > 0:
                done += count
            elif count < 0 and errno == EINTR:
                PyErr_CheckSignals()
            elif count < 0 and done == 0:
                PyErr_SetFromErrno(OSError)
            else:
                break
        return done

    cdef Py_ssize_t fill(self, unsigned char *data, Py_ssize_t size, uint64_t start) except -1:
        """Read `size` bytes, fewer only at the end of the file."""
        cdef Py_ssize_t done = 0, count = 1
        while count and done < size:
            count = self.fill_some(data + done, size - done, start + <uint64_t>done)
            done += count
        return done

    def read(self, Py_ssize_t size, start):
        """Up to `size` bytes from `start` on, in memory for as many as the file has."""
        size = max(min(size, self.size - start), 0)
        data = PyBytes_FromStringAndSize(NULL, size)
        cdef Py_ssize_t done = self.fill(<unsigned char *><char *>data, size, start)
        return data if done == size else data[:done]

    def read_into(self, buffer, start):
        """Fill a buffer with bytes from `start` on: how many there were."""
        cdef Py_buffer view
        cdef uint64_t begin = start
        PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            return self.fill(<unsigned char *>view.buf, view.len, begin)
        finally:
            PyBuffer_Release(&view)

    def map(self, size):
        """The file in memory, up to `size` bytes of it. OSError if the system gives no map."""
        cdef FileMap new = FileMap()
        cdef Py_ssize_t length = min(size, self.size)
        new.base = sr_map_file(self.fd, length)
        if new.base == NULL:
            PyErr_SetFromErrno(OSError)
        new.size = length
        return new

    cdef bint is_intact(self, uint64_t start, uint64_t size, uint64_t checksum) except -1:
        """Is the block there, with this checksum? Raises OSError if it can't be read."""
        cdef Checksum sum
        cdef uint64_t at = start
        cdef Py_ssize_t part
        if size <= <uint64_t>WINDOW:
            return self.look(start, size) and checksum_of(self.window + (start - self.window_start), size) == checksum
        checksum_begin(&sum)
        while at < start + size:
            part = <Py_ssize_t>min(<uint64_t>WINDOW, start + size - at)
            if not self.look(at, part):
                return False
            with nogil:
                checksum_add(&sum, self.window + (at - self.window_start), part)
            at += <uint64_t>part
        return checksum_end(&sum) == checksum

    cdef bint look(self, uint64_t start, Py_ssize_t size) except -1:
        """Have these bytes in the window. False: the file ends before."""
        if self.window == NULL:
            self.window = <unsigned char *>PyMem_RawMalloc(WINDOW)
            if self.window == NULL:
                raise MemoryError()
        if start >= self.window_start and start + <uint64_t>size <= self.window_start + <uint64_t>self.window_size:
            return True
        self.window_size = 0
        self.window_start = start
        self.window_size = self.fill_some(self.window, WINDOW, start)
        if self.window_size < size:
            self.window_size += self.fill(
                self.window + self.window_size, size - self.window_size, start + <uint64_t>self.window_size
            )
        return self.window_size >= size

    def damaged_blocks(self, entries):
        """Check blocks by their index entries.

        Returns
        -------
        list of (int, int, int, int, OSError or None)
            Of each run of blocks that are not what was written: its items (first, end), its bytes (start, end), and
            why it can't be read, if so.
        """
        cdef Entry entry
        cdef const unsigned char[::1] data = entries
        cdef Py_ssize_t i
        cdef bint is_intact
        found = []
        for i in range(0, len(data), <Py_ssize_t>sizeof(Entry)):
            error = None
            load_entry(&data[i], &entry)
            try:
                is_intact = self.is_intact(entry.start, entry.size, entry.checksum)
            except OSError as caught:
                is_intact, error = False, caught
            if is_intact:
                continue
            first, start = entry.first, entry.start
            if found and found[-1][1] == first and (found[-1][4] is None) == (error is None):
                first, _, start, _, error = found.pop()
            found.append((first, entry.first + entry.count, start, entry.start + entry.size, error))
        return found


cdef class Pages:
    """Pages(first, header_size, itemsize)\n--\n
    The index of a segment as a reader keeps it: neighbouring small blocks are one page.

    Parameters
    ----------
    first : int
        The number of the segment's first item.
    header_size : int
        Of the file of items, in bytes.
    itemsize : int
        0 for objects.
    """

    cdef readonly uint64_t first, reached, data_end
    cdef readonly object array  # of PAGE
    cdef readonly bytearray is_checked  # for each page: 1 if all its blocks were found to be what was written
    cdef readonly bint has_gaps  # between the blocks
    cdef readonly object cut_from  # the first item of a block that the index has and the file has not
    cdef readonly int64_t time  # of the last block
    cdef readonly object error  # why a block that isn't sealed can't be read
    cdef uint64_t header_size, itemsize, most  # items in a file, at most
    cdef bint is_last_checked  # False: the last page is not, and needs no more to say so
    cdef object allocated  # memory of `array`, and for more
    cdef Page *pages  # the same
    cdef Py_ssize_t count

    def __init__(self, first, header_size, itemsize):
        self.first = self.reached = first
        self.header_size = self.data_end = header_size
        self.itemsize = itemsize
        self.most = (END >> 1) // (self.itemsize if self.itemsize else <uint64_t>1)
        self.is_checked = bytearray()
        self.grow(np.empty(16, PAGE))
        self.array = self.allocated[:0]

    cdef int grow(self, object memory) except -1:
        if self.count:
            memory[:self.count] = self.array
        self.allocated = memory
        self.pages = <Page *><size_t>memory.ctypes.data
        return 0

    def add(self, entries, at, sealed, end, file_size, BlockFile file, bint keep_unchecked):
        """Add what index entries say, as far as they are valid, or sealed.

        Parameters
        ----------
        entries : bytes
        at : int
            Where they begin in the index, in bytes.
        sealed, end : int
            Up to which number the items are sealed; where the segment ends, or -1.
        file_size : int
        file : BlockFile or None
            Of the items. Blocks that aren't sealed count if they are what was written.
        keep_unchecked : bool
            Blocks that aren't sealed are to be checked again when they are read.

        Returns
        -------
        int
            How many bytes of the entries were read for good. The rest may be written again.
        """
        cdef const unsigned char[::1] data = entries
        cdef Entry entry
        cdef Py_ssize_t i = 0
        cdef int64_t begin = at
        cdef uint64_t sealed_to = sealed, limit = END if end < 0 else end, size = file_size
        cdef bint is_valid, is_sealed
        self.error = None
        while i + <Py_ssize_t>sizeof(Entry) <= len(data):
            is_valid = load_entry(&data[i], &entry) and self.fits(&entry, limit, size)
            is_sealed = self.reached < sealed_to
            if not is_sealed and not (is_valid and self.follows(&entry, file)):
                break
            if is_valid:
                self.append(&entry, begin + i, not is_sealed and not keep_unchecked)
            i += sizeof(Entry)
        self.array = self.allocated[:self.count]
        return i

    def set_checked(self, Py_ssize_t i, bint is_checked):
        """Say whether all blocks of page i were found to be what was written."""
        self.is_checked[i] = is_checked
        if i == self.count - 1:
            self.is_last_checked = is_checked

    cdef bint fits(self, Entry *entry, uint64_t limit, uint64_t file_size) except -1:
        """Can the block be where its entry says?"""
        if entry.first < self.reached or entry.first >= limit:
            return False
        if not 0 < entry.count <= limit - entry.first:
            return False
        if entry.start < self.header_size or entry.start > END or entry.size > END:
            return False
        if self.itemsize:
            if entry.first - self.first > self.most or entry.count > self.most:
                return False
            if entry.start != self.header_size + (entry.first - self.first) * self.itemsize:
                return False
            if entry.size != entry.count * self.itemsize:
                return False
        elif entry.count > entry.size >> 3:  # Each object has its length in front, in 8 bytes.
            return False
        if entry.size > file_size or entry.start > file_size - entry.size:
            if self.cut_from is None:
                self.cut_from = entry.first
            return False
        return True

    cdef bint follows(self, Entry *entry, BlockFile file) except -1:
        """Does the block follow those before it, and is all of it there?"""
        if entry.first != self.reached or file is None:
            return False
        try:
            return file.is_intact(entry.start, entry.size, entry.checksum)
        except OSError as error:
            self.error = error
            return False

    cdef int append(self, Entry *entry, int64_t at, bint is_checked) except -1:
        """Add a block. O(1), amortised."""
        cdef Page *page
        self.has_gaps = self.has_gaps or entry.first > self.reached
        self.reached = entry.first + entry.count
        self.data_end = entry.start + entry.size
        self.time = <int64_t>entry.time
        if self.count:
            page = &self.pages[self.count - 1]
            if (
                page.end == <int64_t>entry.first and page.start + page.size == <int64_t>entry.start
                and page.at + page.count * <int64_t>sizeof(Entry) == at and <uint64_t>page.count < PAGE_ENTRIES
                and <uint64_t>page.size + entry.size <= PAGE_BYTES
            ):
                page.end, page.size, page.count = self.reached, page.size + entry.size, page.count + 1
                if not is_checked and self.is_last_checked:
                    self.is_last_checked = False
                    self.is_checked[self.count - 1] = 0
                return 0
        if self.count == len(self.allocated):
            self.array = self.allocated
            self.grow(np.empty(2 * self.count, PAGE))
        self.is_checked.append(is_checked)
        self.is_last_checked = is_checked
        self.count += 1
        page = &self.pages[self.count - 1]
        page.first, page.end, page.start, page.size = entry.first, self.reached, entry.start, entry.size
        page.time, page.at, page.count, page.checksum = entry.time, at, 1, entry.checksum
        return 0


def are_entries_of(data, first, end, start, size):
    """Are these the intact index entries of neighbouring blocks with just these items and bytes?"""
    cdef const unsigned char[::1] entries = data
    cdef Entry entry
    cdef Py_ssize_t i
    cdef uint64_t at = first, byte = start, last = end, last_byte = start + size
    for i in range(0, len(entries), <Py_ssize_t>sizeof(Entry)):
        if not load_entry(&entries[i], &entry) or entry.first != at or entry.start != byte:
            return False
        if entry.count > last - at or entry.size > last_byte - byte:
            return False
        at += entry.count
        byte += entry.size
    return at == last and byte == last_byte


def objects_in(const unsigned char[::1] block, uint64_t count, uint64_t start, uint64_t stop):
    """Some of the encoded objects in a block.

    Parameters
    ----------
    block : bytes
    count : int
        How many objects it should have.
    start, stop : int
        Which of them to return.

    Returns
    -------
    list of bytes, or None
        None: the block has another number of objects.
    """
    cdef uint64_t size = len(block), at = 0, length, i = 0
    cdef list found = []
    while at < size:
        if size - at < 8:
            return None
        memcpy(&length, &block[at], 8)
        length = sr_from_little(length)
        at += 8
        if length > size - at or i == count:
            return None
        if start <= i < stop:
            found.append(PyBytes_FromStringAndSize(<const char *>&block[0] + at, length))
        at += length
        i += 1
    return found if i == count else None
