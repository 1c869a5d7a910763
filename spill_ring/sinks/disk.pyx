"""`DiskSink`: a recording that survives a crash, in the format of `spill_ring.recording.segment`.

Compiled, though most of it is Python, and so are the writes: no signal handler runs between one and its accounting.
"""
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject

from spill_ring._core.chain cimport begin_init
from spill_ring._core.lifecycle cimport forks_so_far
from spill_ring._core.tracing cimport Tracer, items_error
from spill_ring._core.guard cimport SR_CLOSED, SR_NEW, SR_OPEN, sr_state_store, sr_state_load
from spill_ring._core.sink cimport TRACED, Sink, declare_traits, describe

import atexit
import errno
import numbers
import operator
import os
import threading
import time
import warnings
import weakref
from queue import Empty, SimpleQueue

from spill_ring.recording.checksum import checksum
from spill_ring.serialization.encoders import encoder_of
from spill_ring.recording.segment import (
    LOCK as _LOCK, MANIFEST as _MANIFEST, DamagedError, Manifest, Segment, framed, header_of, last_known, paths_of,
    read_manifest, record_of, remove_segment, segments_in, sync_file, sync_folder, with_count, write_again,
    write_manifest,
)
from spill_ring.recording.log import SpillLog


try:
    import fcntl
except ImportError:  # Windows, where a recording can be read, and not written
    fcntl = None


cdef extern from "Python.h":
    enum: PyBUF_READ
    Py_ssize_t PY_SSIZE_T_MAX


cdef Py_ssize_t OBJECTS_AT_ONCE = 1 << 20  # bytes of them, encoded, that are written as a block
cdef Py_ssize_t BEHIND = 2  # full segments that the thread may not have sealed yet
cdef tuple FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


cdef int write_at(int fd, object data, Py_ssize_t offset) except -1:
    """As `segment.write_at`, in which a signal handler could run after a write."""
    cdef Py_ssize_t written
    view = memoryview(data).cast("B")
    while len(view):
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written
    return 0


cdef class _Writing:
    """The segment that is being written: its files, and how far they got."""

    cdef int data, index  # file descriptors
    cdef long long first, end  # sequence numbers, beyond 32 bits on any machine
    cdef Py_ssize_t data_end, index_end  # bytes
    cdef Py_ssize_t data_seen  # that a reader may have mapped: what it maps must not be cut off
    cdef long long time  # of the last block
    cdef bytes header
    cdef Py_ssize_t data_synced, index_synced  # bytes that last
    cdef bint is_doubtful  # a sync failed: what lies behind those may be lost, and the system thinks it isn't
    cdef bint is_synced
    cdef object lock  # of how far they got, and what of it is synced; not of the files

    def __cinit__(self):
        self.data = self.index = -1
        self.is_synced = True
        self.lock = threading.Lock()

    cdef int open(self, str folder, long long first, object dtype, int flags) except -1:
        data, index = paths_of(folder, first, dtype)
        self.data = os.open(data, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o666)
        self.index = os.open(index, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o666)
        self.first = self.end = first
        self.header = header_of(dtype)
        self.data_end = len(self.header)
        return 0

    cdef int write(self, object block, Py_ssize_t count, bint is_synced) except -1:
        """Add a block, or nothing."""
        cdef Py_ssize_t size = len(block)
        cdef long long now = max(self.time, time.time_ns())
        record = record_of(self.end, count, self.data_end, size, now, checksum(block))
        try:
            write_at(self.data, block, self.data_end)
            write_at(self.index, record, self.index_end)
        except BaseException:
            self.cut_off(self.index, self.index_end)
            self.cut_off(self.data, max(self.data_end, self.data_seen))  # its room is the index's too
            raise
        self.data_seen = self.data_end + size
        try:
            if is_synced:
                self.sync(self.end + count)  # in this thread: with "always" there is no other
            with self.lock:  # to wait for it a signal handler may run
                self.end += count
                self.data_end += size
                self.index_end += len(record)
                self.time = now
                self.is_synced = is_synced
        except BaseException:
            self.is_synced = False
            try:
                if is_synced:
                    self.count(self.end)
            except OSError:
                pass
            self.cut_off(self.index, self.index_end)  # who reads must not see what is going to be sent again
            raise
        return 0

    cdef int cut_off(self, int fd, Py_ssize_t end) except -1:
        try:
            os.ftruncate(fd, end)
        except OSError:
            pass  # the next block will lie over it
        return 0

    cdef int sync(self, long long end) except -1:
        """Make last what is there: items, then records; then write their count. By one thread at a time."""
        self.make_last()
        self.count(end)
        return 0

    cdef int make_last(self) except -1:
        cdef Py_ssize_t data_end, index_end
        with self.lock:
            data_end, index_end = self.data_end, self.index_end
        if self.is_doubtful:
            write_again(self.data, self.data_synced, data_end)
            write_again(self.index, self.index_synced, index_end)
        self.is_doubtful = True
        sync_file(self.data)
        sync_file(self.index)
        self.is_doubtful = False
        self.data_synced, self.index_synced = data_end, index_end
        return 0

    cdef int count(self, long long end) except -1:
        write_at(self.data, with_count(self.header, end - self.first), 0)
        return 0

    def __dealloc__(self):
        for fd in (self.data, self.index):
            if fd >= 0:
                try:
                    os.close(fd)
                except OSError:
                    pass


cdef class DiskSink(Sink):
    """DiskSink(path, *, segment_bytes=268435456, keep_bytes=None, sync='interval', interval=1.0, encoder=None)\n--\n
    Records what it is sent in a folder of ``.npy`` files that survive a crash; `SpillLog` reads them.

    Parameters
    ----------
    path : path
        The folder. It is made if it isn't there; a recording that is there is gone on with, if its items are
        of the same dtype.
    segment_bytes : int
        Size at which a new file is begun.
    keep_bytes : int, optional
        Size of the whole beyond which the oldest files are removed, at least twice `segment_bytes`. They go with the
        next sync: until then there may be up to three segments more.
    sync : {"interval", "always", "never"}
        When what was written is made to survive a power loss: in a thread, after each `interval`; before a
        push returns; when the operating system likes.
    interval : float
        Seconds between two syncs.
    encoder : str, type or encoder, optional
        For a ring of objects. "plain", the default, takes bytes and str; "msgpack" what `msgspec` encodes;
        "pickle" whatever can be pickled (never read such a recording from a stranger); a type what `ByteSerializer`
        writes of it, a `record` say; or any object with a `name`, ``encode(object) -> bytes`` and
        ``decode(bytes) -> object``.

    Raises
    ------
    ValueError
        `segment_bytes`, `keep_bytes`, `sync`, `interval` or the name of the encoder is none that would do.
    NotImplementedError
        On Windows.
    OSError
        The disk is full, say: what has no room stays where it was, and writing goes on once there is some.
    BlockingIOError
        Somebody else writes to the folder.
    TypeError
        The folder holds items of another dtype.
    DamagedError
        The manifest of the folder is damaged.

    Warns
    -----
    RuntimeWarning
        The recording ended in a block that wasn't complete, which is cut off.

    Notes
    -----
    **Promises.** After ``kill -9`` all that the sink took is there. After a power loss all is there that it took
    up to `interval` seconds before (with "always": all; with "never": nothing is promised). What is read is
    never wrong: each block has a checksum. Each segment is a ``.npy`` file that `numpy.load` opens at any
    time; it then holds what was there at the last sync, `flush` or `close`.

    A sync that fails in the thread is raised by the next call, which has taken nothing then.

    **Thread safety.** One thread at a time; a second is refused with `RuntimeError`. A forked child can't use it.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with ArrayRing(2, "i4", sink=DiskSink(folder)) as ring:
    ...     ring.extend(range(10))
    >>> SpillLog(folder)[4:8]
    array([4, 5, 6, 7], dtype=int32)
    """

    cdef str path, sync
    cdef Py_ssize_t segment_bytes
    cdef object keep_bytes
    cdef double interval
    cdef object encoder, manifest
    cdef object dtype  # of the items; None: objects
    cdef _Writing writing
    cdef list full  # segments before it that are not sealed yet
    # Of locks that are held at once sync_lock or log_lock is taken first, then change_lock or that of a _Writing.
    cdef object change_lock  # of these two and of `manifest`; never held for long
    cdef int lock  # the file's, on which the recording is locked
    cdef Py_ssize_t forks
    cdef object sync_lock  # of syncing and sealing
    cdef object thread, error
    cdef object alarm  # wakes the thread: to seal a segment, or to end
    cdef bint is_ending
    cdef object log, log_lock  # for `history`: the recording as it is read, by one thread at a time

    def __cinit__(self, *args, **kwargs):
        self.is_guarded = True
        self.state = SR_NEW
        declare_traits(self, DiskSink, TRACED)
        self.lock = -1
        self.full = []
        self.sync_lock = threading.Lock()
        self.change_lock = threading.Lock()
        self.log_lock = threading.RLock()  # the encoder may look at a history too
        self.alarm = SimpleQueue()  # and no Event: a signal handler that raises in one leaves it locked

    def __init__(
        self, path, *, segment_bytes=1 << 28, keep_bytes=None, sync="interval", interval=1.0, encoder=None
    ):
        if fcntl is None:
            raise NotImplementedError("a DiskSink needs POSIX's files; on Windows NpySink writes a .npy")
        folder = os.fsdecode(path)
        size = operator.index(segment_bytes)
        if not 1 <= size <= PY_SSIZE_T_MAX:
            raise ValueError(f"segment_bytes must be from 1 to {PY_SSIZE_T_MAX}, not {segment_bytes}")
        if keep_bytes is not None and operator.index(keep_bytes) < 2 * size:
            raise ValueError(f"keep_bytes must be at least twice segment_bytes, {2 * size}, not {keep_bytes}")
        if sync not in ("interval", "always", "never"):
            raise ValueError(f"sync must be 'interval', 'always' or 'never', not {sync!r}")
        if not isinstance(interval, numbers.Real):
            raise TypeError(f"interval must be a number of seconds, not {interval!r}")
        if not 0 < interval < threading.TIMEOUT_MAX:
            raise ValueError(f"interval must be a time in seconds, not {interval!r}")
        encodes = encoder_of(encoder)
        begin_init(self, None)
        self.forks = forks_so_far()
        try:
            self.path = os.path.abspath(folder)
            self.open_folder()
            self.manifest = read_manifest(self.path)
        except BaseException:
            self.unlock()
            sr_state_store(&self.state, SR_NEW)
            raise
        self.segment_bytes = size
        self.keep_bytes = keep_bytes
        self.sync = sync
        self.interval = interval
        self.encoder = encodes
        self.leave()

    cdef int open_folder(self) except -1:
        """Make the folder, and lock it."""
        try:
            os.mkdir(self.path)
        except FileExistsError:
            pass
        strangers = [name for name in os.listdir(self.path) if not _is_ours(name)]
        if strangers and not os.path.exists(os.path.join(self.path, _MANIFEST)):
            raise ValueError(f"{self.path} is no recording, and not empty: there is {strangers[0]!r} in it")
        fd = os.open(os.path.join(self.path, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self.lock = fd
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            os.close(fd)  # and not unlock it: the lock is another's
            self.lock = -1
            raise BlockingIOError(
                error.errno, f"process {holder} writes to it; give each its own folder", self.path
            ) from None
        write_at(fd, b"%-19d\n" % os.getpid(), 0)
        return 0

    cdef int unlock(self) except -1:
        if self.lock >= 0:
            if self.forks == forks_so_far():
                fcntl.flock(self.lock, fcntl.LOCK_UN)  # or a child that was forked would keep it
            os.close(self.lock)
            self.lock = -1
        return 0

    cdef int allocate_for(self, object dtype) except -1:
        """Begin the recording, or go on with it."""
        self.enter()
        try:
            self.check()
            self.dtype = dtype
            if self.manifest is None:
                self.begin_recording(dtype)
            else:
                self.go_on(dtype)
            if self.sync != "always":
                self.thread = threading.Thread(
                    target=_sync_again_and_again, args=(weakref.ref(self), self.alarm, self.interval),
                    name=f"DiskSink of {self.path}", daemon=True,
                )
                self.thread.start()
                sinks[id(self)] = self
        except BaseException:
            self.thread = None
            self.writing = None
            self.full = []
            raise
        finally:
            self.leave()
        return 0

    cdef int begin_recording(self, object dtype) except -1:
        name = self.encoder.name if dtype is None else None
        for entry in os.scandir(self.path):
            if entry.name.endswith(".index") and entry.stat().st_size:
                raise DamagedError(os.path.join(self.path, _MANIFEST), "it is missing")
        self.writing = self.new_segment(0, dtype)
        self.name_last([], self.writing, Manifest(dtype, name, 0, 0))
        return 0

    cdef _Writing new_segment(self, long long first, object dtype):
        cdef _Writing new = _Writing()
        new.open(self.path, first, dtype, os.O_TRUNC)
        new.count(first)
        return new

    cdef int name_last(self, list full, _Writing segment, object manifest) except -1:
        """Make the names of new segments last, seal those that are full, and then name the last in the manifest."""
        cdef _Writing one
        if self.sync != "never":
            sync_folder(self.path)  # before a header counts anything: what it counts must be there, the index too
        for one in full:
            self.seal(one)
        if self.sync != "never":
            segment.make_last()
        write_manifest(self.path, manifest, self.sync != "never")
        with self.change_lock:
            self.manifest = manifest
        return 0

    cdef int go_on(self, object dtype) except -1:
        manifest = self.manifest
        if (dtype is None) != (manifest.dtype is None) or dtype is not None and dtype != manifest.dtype:
            raise TypeError(
                f"{self.path} holds {describe(manifest.dtype)}, so it can't go on with {describe(dtype)}"
            )
        if dtype is None and manifest.encoder != self.encoder.name:
            raise TypeError(
                f"{self.path} holds objects by encoder {manifest.encoder!r}, so it can't go on by {self.encoder.name!r}"
            )
        self.remove_before(manifest.first)
        found = segments_in(self.path, dtype)
        segments = [Segment(self.path, last_known(self.path, manifest, found), dtype)]
        segments[0].refresh()
        while (segment := segments[-1].next()) is not None:
            segments.append(segment)
        segment = segments[-1]
        self.cut_off([first for first in found if first > segment.first], dtype)
        self.full = [self.reopen(full) for full in segments[:-1]]
        if segment.damage is not None or segment.has_holes:
            warnings.warn(
                f"{segment.damage or segment.path + ' is damaged'}; the recording goes on after item {segment.end}",
                RuntimeWarning, stacklevel=1,
            )
            self.writing = self.new_segment(max(segment.end, segment.first + 1), dtype)
        else:
            self.writing = self.reopen(segment)
            self.cut_tail(self.writing, segment)
        self.writing.is_synced = False
        self.sync_all()
        return 0

    cdef int cut_off(self, list segments, object dtype) except -1:
        """Segments that were begun, but with a gap before them: by a power loss before they were made last."""
        cdef Py_ssize_t lost = 0
        for first in segments:
            for path in paths_of(self.path, first, dtype):
                if os.path.exists(path):
                    lost += os.stat(path).st_size
            remove_segment(self.path, first, dtype)
        if segments and self.sync != "never":
            sync_folder(self.path)  # before anything is written that might seem to go on in them
        if lost > len(segments) * len(header_of(dtype)):
            warnings.warn(
                f"{self.path}: cut off {lost} bytes from item {segments[0]} on, which do not follow what is there",
                RuntimeWarning, stacklevel=1,
            )
        return 0

    cdef _Writing reopen(self, object segment):
        cdef _Writing writing = _Writing()
        writing.open(self.path, segment.first, segment.dtype, 0)
        writing.end = segment.end
        if len(segment.records):
            writing.data_end = int(segment.records["start"][-1] + segment.records["size"][-1])
            writing.time = int(segment.records["time"][-1])
        writing.index_end = segment.looked_at
        return writing

    cdef int cut_tail(self, _Writing writing, object segment) except -1:
        torn = (
            max(0, os.fstat(writing.data).st_size - writing.data_end)
            + max(0, os.fstat(writing.index).st_size - writing.index_end)
        )
        if torn:
            warnings.warn(
                f"{segment.path}: cut off {torn} bytes behind item {segment.end}, of a block that wasn't complete",
                RuntimeWarning, stacklevel=1,
            )
        os.ftruncate(writing.index, writing.index_end)
        os.ftruncate(writing.data, writing.data_end)
        return 0

    cdef int remove_before(self, long long first) except -1:
        for begin in segments_in(self.path, self.dtype):
            if begin < first:
                remove_segment(self.path, begin, self.dtype)
        return 0

    cdef int raise_fork(self) except -1:
        """A child has its parent's files, and locks that a thread may hold which it hasn't got."""
        if self.forks != forks_so_far():
            raise RuntimeError(f"{self!r} belongs to the process that opened it; a forked one needs its own folder")
        return 0

    cdef int check(self) except -1:
        self.raise_fork()
        if self.error is not None:
            with self.sync_lock:
                error, self.error = self.error, None
            raise error
        return 0

    cdef int change_over(self) except -1:
        """Begin the next segment. The thread seals the one that is full: the producer has not to wait for the disk."""
        cdef _Writing new
        self.raise_fork()
        new = self.new_segment(self.writing.end, self.dtype)
        new.time = self.writing.time
        with self.change_lock:
            self.full.append(self.writing)
            self.writing = new
        self.alarm.put(None)
        return 0

    cdef int seal(self, _Writing segment) except -1:
        if self.sync == "never":
            segment.count(segment.end)
        else:
            segment.sync(segment.end)
            sync_file(segment.data)
        return 0

    cdef object first_to_keep(self):
        """Of the segments, so that with the one that is begun they have no more than `keep_bytes`."""
        if self.keep_bytes is None:
            return self.manifest.first
        found = segments_in(self.path, self.dtype)
        kept = len(found) - 1
        total = self.segment_bytes
        while kept > 0:
            total += sum(os.stat(path).st_size for path in paths_of(self.path, found[kept - 1], self.dtype))
            if total > self.keep_bytes:
                return found[kept]
            kept -= 1
        return self.manifest.first

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        cdef Py_ssize_t part, room
        cdef Py_ssize_t most = count  # that may fit
        cdef const char *data = <const char *>items
        self.check()
        while count:
            room = self.room() // self.itemsize
            part = min(count, max(room, 1), most)
            block = PyMemoryView_FromMemory(<char *>data, part * self.itemsize, PyBUF_READ)
            if not self.write(block, part):
                most = part // 2
                continue
            taken[0] += part
            data += part * self.itemsize
            count -= part
        return 0

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        cdef Py_ssize_t i = 0
        cdef Py_ssize_t size, room, most
        self.check()
        while i < count:
            room = min(self.room(), OBJECTS_AT_ONCE)
            encoded = []
            size = 0
            failure = None
            while i < count and size < room:
                try:
                    data = self.encoder.encode(<object>items[i])
                    if not isinstance(data, bytes):  # of others `len` may count something else
                        raise TypeError(
                            f"encode() of encoder {self.encoder.name!r} must return bytes, not {type(data).__name__}"
                        )
                except BaseException as error:
                    failure = error
                    break
                encoded.append(data)
                size += len(data)
                i += 1
            most = len(encoded)
            while encoded:
                part = encoded[:most]
                if not self.write(framed(part), len(part)):
                    most = len(part) // 2
                    continue
                taken[0] += len(part)
                del encoded[:most]
            if failure is not None:
                raise failure
        return 0

    cdef bint write(self, object block, Py_ssize_t count) except -1:
        """Add a block. False: the disk is too full for it; a part may fit."""
        self.raise_fork()  # of a signal handler, or in `encode`, since the check
        try:
            self.writing.write(block, count, self.sync == "always")
        except OSError as error:
            if count == 1 or error.errno not in FULL:
                raise
            return False
        return True

    cdef Py_ssize_t room(self) except -1:
        """Bytes that the segment still takes; one that is full is changed for the next."""
        if self.writing.end > self.writing.first and self.writing.data_end >= self.segment_bytes:
            self.change_over()
        if len(self.full) > (0 if self.sync == "always" else BEHIND):
            self.sync_now()
        return max(self.segment_bytes - self.writing.data_end, 1)

    cdef int sync_now(self) except -1:
        """Make last what is there. In any thread."""
        self.raise_fork()
        with self.sync_lock:
            self.sync_all()
        return 0

    cdef int check_folder(self) except -1:
        """What is written to files that have no name any more would be lost without an error."""
        try:
            if os.path.samestat(os.stat(os.path.join(self.path, _LOCK)), os.fstat(self.lock)):
                return 0
        except FileNotFoundError:
            pass
        raise FileNotFoundError(errno.ENOENT, "the folder was removed under the recording", self.path)

    cdef int sync_all(self) except -1:
        cdef _Writing writing
        cdef long long end
        with self.change_lock:  # what is begun after this has to wait: each is sealed after those before it
            segments, writing = list(self.full), self.writing
        if writing is None:
            return 0
        self.check_folder()
        if writing.first != self.manifest.last:
            first = min(self.first_to_keep(), writing.first)
            self.name_last(segments, writing, self.manifest._replace(first=first, last=writing.first))
            with self.change_lock:
                del self.full[:len(segments)]
            if self.keep_bytes is not None:
                self.remove_before(self.manifest.first)
        with writing.lock:
            if writing.is_synced:
                return 0
            writing.is_synced = True
            end = writing.end
        try:
            if self.sync == "never":
                writing.count(end)
            else:
                writing.sync(end)
        except BaseException:
            with writing.lock:
                writing.is_synced = False
            raise
        return 0

    cdef int trace(self, Tracer tracer) except -1:
        if sr_state_load(&self.state) == SR_CLOSED:
            why = f"DiskSink is closed; SpillLog({self.path!r}) reads what it recorded"
            return tracer.cannot_tell(ValueError, why)
        if tracer.keeps(self, self.count, self.removed, False):
            tracer.give(self.read_kept(tracer.start, tracer.count, tracer.number))
        return 0

    cdef object read_kept(self, long long start, Py_ssize_t count, object number):
        self.raise_removed(start, count, number)
        with self.log_lock:
            log = self.log
            if log is None:
                log = self.log = SpillLog(self.path, encoder=self.encoder)
            try:
                if log.end < start + count and log.refresh() < start + count:
                    raise DamagedError(self.path, "it ends too early", start, start + count)
                return log[start:start + count]
            except (DamagedError, IndexError):
                self.raise_removed(start, count, number)  # in the thread, since the last look
                raise

    cdef int raise_removed(self, long long start, Py_ssize_t count, object number) except -1:
        cdef long long removed = self.removed
        if start < removed:
            raise items_error(IndexError, number, min(count, removed - start), f"removed by {self!r}", "was", "were")
        return 0

    def flush(self):
        """Make what was sent survive a power loss (unless ``sync="never"``), and have `numpy.load` see it.

        Raises
        ------
        OSError
            The disk failed: what is not synced yet is tried again by the next call. Or the folder was removed.
        """
        if sr_state_load(&self.state) == SR_CLOSED:
            return
        self.enter()
        try:
            self.check()
            self.sync_now()
        finally:
            self.leave()

    def close(self):
        """Flush, and let go of the folder. Closing again does nothing.

        Raises
        ------
        OSError
            The disk failed. The sink is still open then, and can be closed again. (Not if the folder was removed.)
        """
        cdef int state = SR_OPEN
        if sr_state_load(&self.state) == SR_CLOSED:
            return
        self.enter()
        try:
            if self.forks == forks_so_far():
                self.check()
                self.sync_now()
                if self.writing is not None and self.sync != "never":
                    sync_file(self.writing.data)  # the count too
                self.end_thread()
            state = SR_CLOSED
        except FileNotFoundError:
            state = SR_CLOSED  # there is nothing left to write to
            self.ask_thread_to_end()
            raise
        finally:
            if state == SR_CLOSED:
                self.writing = self.log = None
                self.full = []
                self.unlock()
            sr_state_store(&self.state, state)

    def __del__(self):
        if sr_state_load(&self.state) != SR_OPEN:
            return
        try:
            self.close()
        except BaseException as error:
            warnings.warn(f"{self!r} was dropped without close(): {error!r}", ResourceWarning, source=self)
            self.ask_thread_to_end()

    cdef int ask_thread_to_end(self) except -1:
        self.is_ending = True
        self.alarm.put(None)
        return 0

    cdef int end_thread(self) except -1:
        self.ask_thread_to_end()
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join()
        return 0

    @property
    def path(self):
        """The folder, as an absolute path."""
        return self.path

    @property
    def segment_bytes(self):
        """Size at which a new file is begun."""
        return self.segment_bytes

    @property
    def keep_bytes(self):
        """Size beyond which the oldest files are removed, or None."""
        return self.keep_bytes

    @property
    def sync(self):
        """When what was written is made to survive a power loss: ``"interval"``, ``"always"`` or ``"never"``."""
        return self.sync

    @property
    def interval(self):
        """Seconds between two syncs."""
        return self.interval

    @property
    def encoder(self):
        """What turns objects into bytes."""
        return self.encoder

    @property
    def count(self):
        """Items in the recording, from its beginning: the sequence number of the next one. In any thread."""
        with self.change_lock:
            return 0 if self.writing is None else self.writing.end

    @property
    def removed(self):
        """Items that `keep_bytes` removed, from the beginning of the recording. In any thread."""
        with self.change_lock:
            return 0 if self.manifest is None else self.manifest.first

    def __repr__(self):
        return f"DiskSink({self.path!r})"


cdef object sinks = weakref.WeakValueDictionary()  # with a thread, by id


def _end_threads():
    """At exit: one that the interpreter ends while it holds a lock would never let go of it. After this each sink syncs
    in the thread of whoever flushes it."""
    cdef DiskSink sink
    for sink in list(sinks.values()):
        if sink.forks == forks_so_far():
            sink.end_thread()


atexit.register(_end_threads)


def _sync_again_and_again(reference, alarm, interval):
    cdef DiskSink sink
    while True:
        try:
            alarm.get(timeout=interval)
        except Empty:
            pass
        sink = reference()
        if sink is None or sink.is_ending or sink.forks != forks_so_far():
            return
        try:
            sink.sync_now()
        except BaseException as error:
            with sink.sync_lock:
                sink.error = error
        sink = None


def _is_ours(name):
    return name in (_LOCK, _MANIFEST, _MANIFEST + ".new") or name[:20].isdigit()
