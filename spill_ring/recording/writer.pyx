"""Writes a recording: a segment, and the sequence of segments in a folder.

Compiled, though most of it is Python, and so are the writes: no signal handler runs between a write and its accounting.
"""
from spill_ring._core.lifecycle cimport forks_so_far
from spill_ring._core.sink cimport describe

import errno
import os
import threading
import time
import warnings

from spill_ring.recording.checksum import checksum
from spill_ring.recording.files import is_regular, open_regular
from spill_ring.recording.folder import (
    end_of_damaged, first_to_keep, has_lost_a_file, holds_items, remove, remove_segments, remove_segments_before,
    restored_manifest, segments_to_resume, sync_file, sync_folder,
)
from spill_ring.recording.layout import (
    LOCK, MANIFEST, Manifest, header_of, is_recording_file, pack_index_entry, pack_manifest, paths_of, read_manifest,
    with_count,
)
from spill_ring.recording.lock import FileLock


cdef Py_ssize_t BACKLOG = 2  # full segments that the thread may not have sealed yet
cdef Py_ssize_t COPY_BYTES = 1 << 20
cdef tuple DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


cdef int write_at(int fd, object data, Py_ssize_t offset) except -1:
    """Write all of it."""
    cdef Py_ssize_t written
    view = memoryview(data).cast("B")
    while len(view):
        written = os.pwrite(fd, view, offset)
        if written == 0:  # not even an error: another try would end in the same way
            raise OSError(errno.EIO, "a write wrote nothing")
        view = view[written:]
        offset += written
    return 0


cdef int write_again(int fd, Py_ssize_t start, Py_ssize_t end) except -1:
    """Write again what lies there: after a sync that failed the kernel may report it as written."""
    while start < end:
        data = os.pread(fd, min(end - start, COPY_BYTES), start)
        if not data:
            raise OSError(errno.EIO, "what was written before a failed sync is gone")
        write_at(fd, data, start)
        start += len(data)
    return 0


cdef int truncate(int fd, Py_ssize_t end) except -1:
    try:
        os.ftruncate(fd, end)
    except OSError:
        pass  # the next block will be written over it
    return 0


cdef int create_new(str path) except -1:
    """A descriptor of the file that will be renamed to this path, and so replace whatever lies there."""
    remove(path + ".new")
    return open_regular(path + ".new", os.O_RDWR | os.O_CREAT | os.O_EXCL)


cdef bint is_in_place(int fd, str path) except -1:
    """Is the open file still the one of this name?"""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


cdef int write_file_again(int fd, str path, Py_ssize_t end) except -1:
    """Give an open file that lost its name to another one that name again, by a copy that takes the descriptor too."""
    cdef Py_ssize_t at = 0
    cdef int new = create_new(path)
    try:
        while at < end:
            data = os.pread(fd, min(end - at, COPY_BYTES), at)
            if not data:
                raise OSError(errno.EIO, "it was removed under the recording, and cut", path)
            write_at(new, data, at)
            at += len(data)
        sync_file(new)
        os.rename(path + ".new", path)
        os.dup2(new, fd, False)
    finally:
        os.close(new)
    return 0


cdef int write_manifest(str folder, object manifest, bint sync) except -1:
    """Replace the manifest as a whole."""
    path = os.path.join(folder, MANIFEST)
    fd = create_new(path)
    try:
        write_at(fd, pack_manifest(manifest), 0)
        if sync:
            sync_file(fd)
    finally:
        os.close(fd)
    os.rename(path + ".new", path)
    if sync:
        sync_folder(folder)
    return 0


cdef class SegmentWriter:
    """The files of a segment that is being written, and how far they got. One thread writes; another one may sync."""

    def __cinit__(self):
        self.data = self.index = -1
        self.is_synced = True
        self.lock = threading.RLock()

    cdef int open(self, str folder, long long first, object dtype) except -1:
        self.data_path, self.index_path = paths_of(folder, first, dtype)
        self.data = open_regular(self.data_path, os.O_RDWR | os.O_CREAT)
        self.index = open_regular(self.index_path, os.O_RDWR | os.O_CREAT)
        self.first = self.end = first
        self.header = header_of(dtype)
        self.data_end = len(self.header)
        return 0

    cdef int write(self, object block, Py_ssize_t count, bint is_synced) except -1:
        """Add a block, or nothing."""
        with self.lock:  # Before this a signal handler may raise; and another thread may be in `restore`.
            if is_synced:
                self.restore()
            self.write_block(block, count, is_synced)
        return 0

    cdef int write_block(self, object block, Py_ssize_t count, bint is_synced) except -1:
        cdef Py_ssize_t size = len(block)
        cdef long long now = max(self.time, time.time_ns())
        entry = pack_index_entry(self.end, count, self.data_end, size, now, checksum(block))
        try:
            write_at(self.data, block, self.data_end)
            write_at(self.index, entry, self.index_end)
        except BaseException:
            truncate(self.index, self.index_end)
            truncate(self.data, max(self.data_end, self.data_seen))  # The index may need the space.
            raise
        self.data_seen = self.data_end + size
        if is_synced:
            self.sync_block(self.end + count)
        self.end += count
        self.data_end += size
        self.index_end += len(entry)
        self.time = now
        self.is_synced = is_synced
        return 0

    cdef int sync_block(self, long long end) except -1:
        """Sync the block that was just written, or take it back. With "always" no other thread does anything."""
        try:
            self.sync(end)
        except BaseException:
            self.is_synced = False
            try:
                self.write_count(self.end)
            except OSError:
                pass
            truncate(self.index, self.index_end)  # Readers must not see a block that will be sent again.
            raise
        return 0

    cdef bint restore(self) except -1:
        """If somebody removed or replaced one of the files, write it again: what was in it can still be read here."""
        with self.lock:
            lost = [
                (fd, path, end) for fd, path, end in (
                    (self.data, self.data_path, self.data_end), (self.index, self.index_path, self.index_end)
                ) if not is_in_place(fd, path)
            ]
            for fd, path, end in lost:
                self.is_synced = False
                write_file_again(fd, path, end)
            if lost:
                sync_folder(os.path.dirname(self.data_path))
        for _, path, _ in lost:
            warnings.warn(
                f"{path} was removed or replaced under the recording: it was written again",
                RuntimeWarning, stacklevel=1,
            )
        return bool(lost)

    cdef int sync(self, long long end) except -1:
        """Make items and index durable, then write the count of the items. In one thread at a time."""
        self.make_durable()
        self.write_count(end)
        return 0

    cdef int make_durable(self) except -1:
        cdef Py_ssize_t data_end, index_end
        with self.lock:
            data_end, index_end = self.data_end, self.index_end
        if self.sync_failed:
            write_again(self.data, self.data_synced, data_end)
            write_again(self.index, self.index_synced, index_end)
        self.sync_failed = True
        sync_file(self.data)
        sync_file(self.index)
        self.sync_failed = False
        self.data_synced, self.index_synced = data_end, index_end
        return 0

    cdef int write_count(self, long long end) except -1:
        write_at(self.data, with_count(self.header, end - self.first), 0)
        return 0

    def __dealloc__(self):
        for fd in (self.data, self.index):
            if fd >= 0:
                try:
                    os.close(fd)
                except OSError:
                    pass


cdef SegmentWriter new_segment(str folder, long long first, object dtype):
    cdef SegmentWriter new = SegmentWriter()
    new.open(folder, first, dtype)
    for fd in (new.data, new.index):
        if os.fstat(fd).st_size:
            os.ftruncate(fd, 0)
    new.write_count(first)
    return new


cdef SegmentWriter reopen(object segment):
    """A writer that appends to a segment that was read."""
    cdef SegmentWriter writer = SegmentWriter()
    writer.open(segment.folder, segment.first, segment.dtype)
    writer.end = segment.end
    writer.data_end = segment.pages.data_end
    writer.time = segment.pages.time
    writer.index_end = segment.index_offset
    return writer


cdef int truncate_tail(SegmentWriter writer, object segment) except -1:
    """Cut off a block that a crash left incomplete."""
    torn = (
        max(0, os.fstat(writer.data).st_size - writer.data_end)
        + max(0, os.fstat(writer.index).st_size - writer.index_end)
    )
    if torn:
        warnings.warn(
            f"{segment.path}: cut off {torn} bytes behind item {segment.end}, of a block that wasn't complete",
            RuntimeWarning, stacklevel=1,
        )
    os.ftruncate(writer.index, writer.index_end)
    os.ftruncate(writer.data, writer.data_end)
    return 0


cdef class RecordingWriter:
    """A recording that is being written: its locked folder, its manifest, its segments.

    One thread writes; any thread may sync. `open_folder` comes first, `open_segments` once the dtype is known.
    """

    def __cinit__(self):
        self.folder_fd = -1
        self.unsealed = []
        self.sync_lock = threading.Lock()
        self.change_lock = threading.Lock()

    # -- the folder --------------------------------------------------------------------------------

    cdef int open_folder(self, str path, str sync, Py_ssize_t segment_bytes, object keep_bytes) except -1:
        """Make the folder, lock it, and read its manifest."""
        self.path, self.sync, self.segment_bytes, self.keep_bytes = path, sync, segment_bytes, keep_bytes
        self.forks = forks_so_far()
        try:
            try:
                os.mkdir(self.path)
            except FileExistsError:
                pass
            strangers = [name for name in os.listdir(self.path) if not is_recording_file(name)]
            if strangers and not os.path.exists(os.path.join(self.path, MANIFEST)):
                raise ValueError(f"{self.path} is no recording, and not empty: there is {strangers[0]!r} in it")
            # Kept open, so that no other folder gets its number.
            self.folder_fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.lock = FileLock(os.path.join(self.path, LOCK))
            self.manifest = read_manifest(self.path)
        except BaseException:
            self.unlock()
            raise
        return 0

    cdef int unlock(self) except -1:
        lock, self.lock = self.lock, None
        if lock is not None:
            lock.release()
        if self.folder_fd >= 0:
            os.close(self.folder_fd)
            self.folder_fd = -1
        return 0

    cdef bint is_forked(self) noexcept:
        return self.forks != forks_so_far()

    cdef int raise_fork(self) except -1:
        """A forked child has its parent's files, and locks that a thread may hold which the child hasn't got."""
        if self.is_forked():
            raise RuntimeError(
                f"the recording in {self.path} belongs to the process that opened it; a forked one needs its own folder"
            )
        return 0

    cdef int check_folder(self) except -1:
        """Refuse to write to files that have no name any more: what is in them would be lost without an error."""
        try:
            is_there = os.path.samestat(os.stat(self.path), os.fstat(self.folder_fd))
        except (FileNotFoundError, NotADirectoryError):
            is_there = False
        self.is_gone = not is_there
        if not is_there:
            raise FileNotFoundError(
                errno.ENOENT,
                f"the folder was removed under the recording, or moved, with items {self.removed()} to {self.count()}",
                self.path,
            )
        return 0

    cdef int restore_files(self, list segments) except -1:
        """Write again what somebody removed from the folder; in one thread at a time."""
        cdef SegmentWriter segment
        try:
            self.hold_lock()
        except BlockingIOError:
            self.is_gone = True
            raise
        for segment in segments:
            segment.restore()
        path = os.path.join(self.path, MANIFEST)
        if not is_regular(path):
            write_manifest(self.path, self.manifest, self.sync != "never")
            warnings.warn(f"{path} is missing: it was written again", RuntimeWarning, stacklevel=1)
        return 0

    cdef int hold_lock(self) except -1:
        if self.lock.is_in_place():
            return self.lock.hold() or 0
        if not is_regular(self.lock.path):
            remove(self.lock.path)
        new = FileLock(self.lock.path)
        self.lock.release()
        self.lock = new
        warnings.warn(f"{new.path} was removed under the recording: locked again", RuntimeWarning, stacklevel=1)
        return 0

    # -- the first segment -------------------------------------------------------------------------

    cdef int open_segments(self, object dtype, object encoder) except -1:
        """Begin the recording, or resume it. `encoder` is the name of the encoder of objects."""
        self.dtype = dtype
        encoder = encoder if dtype is None else None
        if self.manifest is None and holds_items(self.path):
            self.manifest = restored_manifest(self.path, dtype)
        if self.manifest is None:
            self.begin(encoder)
        elif why := self.why_not(encoder):
            # A first use that failed, or had no item, decides nothing.
            if self.manifest.first or self.manifest.last or holds_items(self.path):
                raise TypeError(why)
            self.begin(encoder)
        else:
            self.resume()
        return 0

    cdef int begin(self, object encoder) except -1:
        remove_segments(self.path)
        self.segment = new_segment(self.path, 0, self.dtype)
        self.publish_segment([], self.segment, Manifest(self.dtype, encoder, 0, 0))
        return 0

    cdef int resume(self) except -1:
        remove_segments_before(self.path, self.manifest.first, self.dtype)
        segments = segments_to_resume(self.path, self.manifest, self.sync != "never")
        # Of the first one all files were there, also after a power loss. A later one may have had no name yet.
        has_lost = has_lost_a_file(segments[0])
        last = segments[-1]
        self.unsealed = [reopen(full) for full in segments[has_lost:-1]]
        if last.has_holes or has_lost and len(segments) == 1:
            end = end_of_damaged(last)
            warnings.warn(
                f"{last.damage or last.path + ' or its index is damaged'}; the recording goes on after item {end}",
                RuntimeWarning, stacklevel=1,
            )
            self.segment = new_segment(self.path, end, self.dtype)
        else:
            self.segment = reopen(last)
            truncate_tail(self.segment, last)
        self.segment.is_synced = False
        self.sync_all()
        return 0

    cdef str why_not(self, object encoder):
        """Why the recording can't go on with such items; None: it can."""
        there = self.manifest
        if (self.dtype is None) != (there.dtype is None) or self.dtype is not None and self.dtype != there.dtype:
            return f"{self.path} holds {describe(there.dtype)}, so it can't go on with {describe(self.dtype)}"
        if self.dtype is None and there.encoder != encoder:
            return f"{self.path} holds objects by encoder {there.encoder!r}, so it can't go on by {encoder!r}"
        return None

    cdef int drop_segments(self) except -1:
        self.segment = None
        self.unsealed = []
        return 0

    # -- writing -----------------------------------------------------------------------------------

    cdef bint write(self, object block, Py_ssize_t count) except -1:
        self.raise_fork()  # a signal handler may have forked, or the encoder of objects
        try:
            self.segment.write(block, count, self.sync == "always")
        except OSError as error:
            if count == 1 or error.errno not in DISK_FULL:
                raise
            return False
        return True

    cdef bint is_full(self) noexcept:
        """The segment has as many bytes as it should: the next block begins another one."""
        return self.segment.end > self.segment.first and self.segment.data_end >= self.segment_bytes

    cdef Py_ssize_t n_free(self) noexcept:
        """Bytes that the segment still takes."""
        return max(self.segment_bytes - self.segment.data_end, 1)

    cdef int rotate(self) except -1:
        """Begin the next segment. The full one is sealed by the next sync, so the writer need not wait for the disk."""
        cdef SegmentWriter new
        self.raise_fork()
        new = new_segment(self.path, self.segment.end, self.dtype)
        new.time = self.segment.time
        with self.change_lock:
            self.unsealed.append(self.segment)
            self.segment = new
        return 0

    cdef bint has_backlog(self) except -1:
        """There are so many unsealed segments that the writer has to seal them itself."""
        return len(self.unsealed) > (0 if self.sync == "always" else BACKLOG)

    # -- syncing -----------------------------------------------------------------------------------

    cdef int sync_now(self) except -1:
        """Make durable what is there, unless `sync` is "never", and remove what `keep_bytes` does not keep."""
        self.raise_fork()
        with self.sync_lock:
            self.sync_all()
        return 0

    cdef int sync_all(self) except -1:
        cdef SegmentWriter segment
        with self.change_lock:  # A segment begun after this waits for the next sync: they are sealed in order.
            full, segment = list(self.unsealed), self.segment
        if segment is None:
            return 0
        self.check_folder()
        self.restore_files([*full, segment])
        if segment.first != self.manifest.last:
            first = min(self.oldest_to_keep(), segment.first)
            self.publish_segment(full, segment, self.manifest._replace(first=first, last=segment.first))
            with self.change_lock:
                del self.unsealed[:len(full)]
            if self.keep_bytes is not None:
                remove_segments_before(self.path, self.manifest.first, self.dtype)
        self.sync_segment(segment)
        return 0

    cdef int sync_segment(self, SegmentWriter segment) except -1:
        cdef long long end
        with segment.lock:
            if segment.is_synced:
                return 0
            segment.is_synced = True
            end = segment.end
        try:
            if self.sync == "never":
                segment.write_count(end)
            else:
                segment.sync(end)
        except BaseException:
            with segment.lock:
                segment.is_synced = False
            raise
        return 0

    cdef int publish_segment(self, list full, SegmentWriter segment, object manifest) except -1:
        """Make the names of new segments durable, seal the full ones, and then name the last one in the manifest."""
        cdef SegmentWriter one
        if self.sync != "never":
            sync_folder(self.path)  # before a header counts anything: items and index must be there then
        for one in full:
            self.seal(one)
        if self.sync != "never":
            segment.make_durable()
        write_manifest(self.path, manifest, self.sync != "never")
        with self.change_lock:
            self.manifest = manifest
        return 0

    cdef int seal(self, SegmentWriter segment) except -1:
        if self.sync == "never":
            segment.write_count(segment.end)
        else:
            segment.sync(segment.end)
            sync_file(segment.data)  # the count too
        return 0

    cdef object oldest_to_keep(self):
        kept = None
        if self.keep_bytes is not None:
            kept = first_to_keep(self.path, self.dtype, self.keep_bytes, self.segment_bytes)
        return self.manifest.first if kept is None else kept

    cdef int sync_count(self) except -1:
        """Make the count in the last header durable too, at the end."""
        if self.segment is not None and self.sync != "never":
            sync_file(self.segment.data)
        return 0

    cdef long long count(self) except -1:
        """Items in the recording, from its beginning."""
        with self.change_lock:
            return 0 if self.segment is None else self.segment.end

    cdef long long removed(self) except -1:
        """Items that were removed, from its beginning."""
        with self.change_lock:
            return 0 if self.manifest is None else self.manifest.first
