"""`DiskSink`: a recording that survives a crash, in the format of `spill_ring.recording.layout`.

Compiled, so that no signal handler runs between a write and its accounting.
"""
cimport cython
from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject

from spill_ring._core.arguments cimport integer_of
from spill_ring._core.chain cimport begin_init
from spill_ring._core.cpython cimport PY_SSIZE_T_MAX
from spill_ring._core.guard cimport SR_CLOSED, SR_NEW, SR_OPEN, sr_state_store, sr_state_load
from spill_ring._core.lifecycle cimport at_exit
from spill_ring._core.sink cimport TRACED, Sink, declare_traits
from spill_ring._core.tracing cimport Tracer, items_error
from spill_ring.recording.writer cimport RecordingWriter

import numbers
import os
import threading
import warnings
import weakref
from queue import Empty, SimpleQueue

from spill_ring.recording.dtypes import check_kept
from spill_ring.recording.layout import DamagedError, pack_objects
from spill_ring.recording.log import SpillLog
from spill_ring.serialization.encoders import encoder_of


cdef bint IS_POSIX = os.name == "posix"
cdef Py_ssize_t OBJECT_BLOCK_BYTES = 1 << 20  # bytes of encoded objects that are written as one block


cdef class DiskSink(Sink):
    """DiskSink(path, *, segment_bytes=268435456, keep_bytes=None, sync='interval', interval=1.0, encoder=None)\n--\n
    Records items in a folder of ``.npy`` files that survive a crash; `SpillLog` reads them.

    Parameters
    ----------
    path : path
        The folder, which is made if it isn't there. A recording that is there is continued, if its items are of
        the same dtype.
    segment_bytes : int
        Size at which a new file is begun.
    keep_bytes : int, optional
        Size of the recording beyond which the oldest files are removed, at least twice `segment_bytes`. They are
        removed by the next sync: until then there may be up to three segments more.
    sync : {"interval", "always", "never"}
        When items are made to survive a power loss: by a thread, after each `interval`; before a push returns; when
        the operating system chooses.
    interval : float
        Seconds between two syncs.
    encoder : str, type or encoder, optional
        How objects are written. "plain", the default, takes bytes and str; "msgpack" what `msgspec` encodes;
        "pickle" whatever can be pickled (never read such a recording from a stranger); a type, such as a `record`,
        its values by `ByteSerializer`; or any object with a `name`, ``encode(object) -> bytes`` and
        ``decode(bytes) -> object``.

    Raises
    ------
    ValueError
        `segment_bytes`, `keep_bytes`, `sync`, `interval` or the name of the encoder is not valid.
    NotImplementedError
        On Windows.
    OSError
        The disk is full, for example. Items that don't fit stay in the ring, and are written once they do.
    BlockingIOError
        Another sink or process writes to the folder. The kernel says so, by a lock that ends with its process.
    TypeError
        The folder holds items of another dtype; or a ``.npy`` file doesn't keep the dtype.
    DamagedError
        The manifest of the folder is damaged, or something else than a file lies in the place of a file.

    Warns
    -----
    RuntimeWarning
        The recording ended in an incomplete block, which is cut off. A file was lost: it is written again from what
        this sink has of it, or the recording goes on behind it.

    Notes
    -----
    **Promises.** After ``kill -9`` all items are there that the sink took. After a power loss those are there that
    it took up to `interval` seconds before (with "always": all; with "never": nothing is promised). No wrong item is
    read: each block has a checksum. `numpy.load` opens each segment, a ``.npy`` file, at any time, and then finds
    the items that were there at the last sync, `flush` or `close`.

    A first use that recorded nothing decides nothing: the folder then takes items of any kind. No link in the folder
    is followed, and nothing but a regular file is opened.

    An error of a sync in the thread is raised by the next call, which then takes nothing.

    **Thread safety.** One thread at a time; a second is refused with `RuntimeError`. A forked child can't use it.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with ArrayRing(2, "i4", sink=DiskSink(folder)) as ring:
    ...     ring.extend(range(10))
    >>> SpillLog(folder)[4:8]
    array([4, 5, 6, 7], dtype=int32)
    """

    cdef RecordingWriter writer
    cdef double interval
    cdef object encoder
    cdef object thread  # syncs, unless `sync` is "always"
    cdef object error  # that the thread met
    cdef object error_lock
    cdef object wakeups  # wakes the thread: to seal a segment, or to end
    cdef bint is_ending
    cdef object log, log_lock  # for `history`: the recording as it is read, by one thread at a time

    def __cinit__(self, *args, **kwargs):
        self.is_guarded = True
        self.state = SR_NEW
        declare_traits(self, DiskSink, TRACED)
        self.writer = RecordingWriter()
        self.error_lock = threading.Lock()
        self.log_lock = threading.RLock()  # the encoder may look at a history too
        self.wakeups = SimpleQueue()  # An Event would stay locked after a signal handler raised inside of it.

    def __init__(
        self, path, *, segment_bytes=1 << 28, keep_bytes=None, sync="interval", interval=1.0, encoder=None
    ):
        if not IS_POSIX:
            raise NotImplementedError("a DiskSink needs POSIX's files; on Windows NpySink writes a .npy")
        folder = os.fsdecode(path)
        _check_options(segment_bytes, keep_bytes, sync, interval)
        encodes = encoder_of(encoder)
        begin_init(self, None)
        try:
            self.writer.open_folder(os.path.abspath(folder), sync, segment_bytes, keep_bytes)
        except BaseException:
            sr_state_store(&self.state, SR_NEW)
            raise
        self.interval = interval
        self.encoder = encodes
        self.leave()

    cdef int allocate_for(self, object dtype) except -1:
        """Begin the recording, or resume it."""
        self.enter()
        try:
            self.check()
            if dtype is not None:
                check_kept(dtype)
            self.writer.open_segments(dtype, self.encoder.name)
            if self.writer.sync != "always":
                self.thread = threading.Thread(
                    target=_sync_again_and_again, args=(weakref.ref(self), self.wakeups, self.interval),
                    name=f"DiskSink of {self.path}", daemon=True,
                )
                self.thread.start()
                sinks[id(self)] = self
        except BaseException:
            self.thread = None
            self.writer.drop_segments()
            raise
        finally:
            self.leave()
        return 0

    cdef int check(self) except -1:
        """Raise what the thread met."""
        self.writer.raise_fork()
        if self.error is not None:
            with self.error_lock:
                error, self.error = self.error, None
            self.has_said_loss = self.writer.is_gone
            raise error
        return 0

    # -- sending -----------------------------------------------------------------------------------

    cdef int send_block(self, const void *items, Py_ssize_t count, Py_ssize_t *taken) except -1 with gil:
        cdef Py_ssize_t part
        cdef Py_ssize_t most = count  # that may fit on the disk
        cdef const char *data = <const char *>items
        self.check()
        while count:
            part = min(count, max(self.n_free() // self.itemsize, 1), most)
            block = PyMemoryView_FromMemory(<char *>data, part * self.itemsize, PyBUF_READ)
            if not self.writer.write(block, part):
                most = part // 2
                continue
            taken[0] += part
            data += part * self.itemsize
            count -= part
        return 0

    cdef int send_objects(self, PyObject **items, Py_ssize_t count, Py_ssize_t *taken) except -1:
        cdef Py_ssize_t i = 0
        cdef Py_ssize_t size, limit
        cdef bytes data
        self.check()
        while i < count:
            limit = min(self.n_free(), OBJECT_BLOCK_BYTES)
            encoded = []
            size = 0
            failure = None
            while i < count and size < limit:
                try:
                    data = self.encode(<object>items[i])
                except BaseException as error:
                    failure = error
                    break
                encoded.append(data)
                size += len(data)
                i += 1
            self.write_objects(encoded, taken)
            if failure is not None:
                raise failure
        return 0

    @cython.final
    cdef bytes encode(self, object value):
        data = self.encoder.encode(value)
        if not isinstance(data, bytes):  # The `len` of another type may count something else.
            raise TypeError(
                f"encode() of encoder {self.encoder.name!r} must return bytes, not {type(data).__name__}"
            )
        return data

    cdef int write_objects(self, list encoded, Py_ssize_t *taken) except -1:
        cdef Py_ssize_t most = len(encoded)  # that may fit on the disk
        while encoded:
            part = encoded[:most]
            if not self.writer.write(pack_objects(part), len(part)):
                most = len(part) // 2
                continue
            taken[0] += len(part)
            del encoded[:most]
        return 0

    cdef Py_ssize_t n_free(self) except -1:
        """Bytes that the segment still takes. If it is full, the next one is begun."""
        if self.writer.is_full():
            self.writer.rotate()
            self.wakeups.put(None)
        if self.writer.has_backlog():
            self.writer.sync_now()
        return self.writer.n_free()

    # -- tracing, for `history` --------------------------------------------------------------------

    cdef int trace(self, Tracer tracer) except -1:
        if sr_state_load(&self.state) == SR_CLOSED:
            why = f"DiskSink is closed; SpillLog({self.path!r}) reads what it recorded"
            return tracer.is_closed(why)
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
                self.raise_removed(start, count, number)  # The thread may have removed them since the last look.
                raise

    cdef int raise_removed(self, long long start, Py_ssize_t count, object number) except -1:
        cdef long long removed = self.removed
        if start < removed:
            raise items_error(IndexError, number, min(count, removed - start), f"removed by {self!r}", "was", "were")
        return 0

    # -- the end -----------------------------------------------------------------------------------

    def flush(self):
        """Make what was sent survive a power loss (unless ``sync="never"``), and have `numpy.load` see it.

        Raises
        ------
        OSError
            The disk failed: what is not synced yet is tried again by the next call. Or the folder was removed or
            moved, or another process writes to it now.
        """
        if sr_state_load(&self.state) == SR_CLOSED:
            return
        self.enter()
        try:
            self.check()
            self.writer.sync_now()
        finally:
            self.has_said_loss = self.writer.is_gone
            self.leave()

    def close(self):
        """Flush, and unlock the folder. Closing again does nothing.

        Raises
        ------
        OSError
            The disk failed. The sink is still open then, and can be closed again. Or the folder was removed or moved,
            or another process writes to it now: then the sink is closed, and the error says what was lost.
        """
        cdef int state = SR_OPEN
        if sr_state_load(&self.state) == SR_CLOSED:
            return
        self.enter()
        try:
            if not self.writer.is_forked():
                self.check()
                self.writer.sync_now()
                self.writer.sync_count()
                self.end_thread()
            state = SR_CLOSED
        except OSError:
            if self.writer.is_gone:
                state = SR_CLOSED  # Another try can't succeed.
                self.ask_thread_to_end()
            raise
        finally:
            if state == SR_CLOSED:
                self.log = None
                self.writer.drop_segments()
                self.writer.unlock()
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
        self.wakeups.put(None)
        return 0

    cdef int end_thread(self) except -1:
        self.ask_thread_to_end()
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join()
        return 0

    # -- what anyone may ask -----------------------------------------------------------------------

    @property
    def path(self):
        """The folder, as an absolute path."""
        return self.writer.path

    @property
    def segment_bytes(self):
        """Size at which a new file is begun."""
        return self.writer.segment_bytes

    @property
    def keep_bytes(self):
        """Size beyond which the oldest files are removed, or None."""
        return self.writer.keep_bytes

    @property
    def sync(self):
        """When what was written is made to survive a power loss: ``"interval"``, ``"always"`` or ``"never"``."""
        return self.writer.sync

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
        return self.writer.count()

    @property
    def removed(self):
        """Items that `keep_bytes` removed, from the beginning of the recording. In any thread."""
        return self.writer.removed()

    def __repr__(self):
        return f"DiskSink({self.path!r})"


def _check_options(segment_bytes, keep_bytes, sync, interval):
    size = integer_of(segment_bytes, "segment_bytes")
    if not 1 <= size <= PY_SSIZE_T_MAX:
        raise ValueError(f"segment_bytes must be from 1 to {PY_SSIZE_T_MAX}, not {segment_bytes}")
    if keep_bytes is not None and integer_of(keep_bytes, "keep_bytes") < 2 * size:
        raise ValueError(f"keep_bytes must be at least twice segment_bytes, {2 * size}, not {keep_bytes}")
    if sync not in ("interval", "always", "never"):
        raise ValueError(f"sync must be 'interval', 'always' or 'never', not {sync!r}")
    if not isinstance(interval, numbers.Real):
        raise TypeError(f"interval must be a number of seconds, not {interval!r}")
    if not 0 < interval < threading.TIMEOUT_MAX:
        limit = threading.TIMEOUT_MAX
        raise ValueError(f"interval must be more than 0 seconds and less than {limit}, not {interval!r}")


cdef object sinks = weakref.WeakValueDictionary()  # those with a thread, by id


def _end_threads():
    """At exit: end all threads. One that the interpreter ends while it holds a lock would never release it. After this
    each sink syncs in the thread that flushes it."""
    cdef DiskSink sink
    for sink in list(sinks.values()):
        if not sink.writer.is_forked():
            sink.end_thread()


at_exit(_end_threads)


def _sync_again_and_again(reference, wakeups, interval):
    cdef DiskSink sink
    while True:
        try:
            wakeups.get(timeout=interval)
        except Empty:
            pass
        sink = reference()
        if sink is None or sink.is_ending or sink.writer.is_forked():
            return
        try:
            sink.writer.sync_now()
        except BaseException as error:
            if not (sink.writer.is_gone and sink.has_said_loss):
                with sink.error_lock:
                    sink.error = error
        sink = None
