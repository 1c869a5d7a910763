"""Writes a recording: a segment, and the sequence of segments in a folder."""


cdef class SegmentWriter:
    cdef int data, index  # file descriptors
    cdef long long first, end  # sequence numbers, beyond 32 bits on any machine
    cdef Py_ssize_t data_end, index_end  # bytes written
    cdef Py_ssize_t data_seen  # bytes that a reader may have mapped: a file must not become shorter than that
    cdef long long time  # of the last block
    cdef bytes header
    cdef Py_ssize_t data_synced, index_synced  # bytes that are durable
    cdef bint sync_failed  # The kernel may report unwritten pages as clean, so the next sync writes them again.
    cdef bint is_synced
    cdef str data_path, index_path
    cdef object lock  # of the ends, of `is_synced`, and of what is written behind the ends

    cdef int open(self, str folder, long long first, object dtype) except -1
    cdef int write(self, object block, Py_ssize_t count, bint is_synced) except -1
    cdef int write_block(self, object block, Py_ssize_t count, bint is_synced) except -1
    cdef int sync_block(self, long long end) except -1
    cdef bint restore(self) except -1
    cdef int sync(self, long long end) except -1
    cdef int make_durable(self) except -1
    cdef int write_count(self, long long end) except -1


cdef class RecordingWriter:
    cdef readonly str path  # of the folder, absolute
    cdef readonly str sync  # "interval", "always" or "never"
    cdef readonly Py_ssize_t segment_bytes
    cdef readonly object keep_bytes
    cdef object dtype  # of the items; None: objects
    cdef object manifest  # None: the recording has not begun
    cdef SegmentWriter segment  # the one that is being written
    cdef list unsealed  # full segments before it, oldest first
    # Of locks that are held at once, sync_lock is taken first, then change_lock or that of a SegmentWriter.
    cdef object change_lock  # of the three before this; never held for long
    cdef object sync_lock  # of syncing and sealing
    cdef object lock  # a FileLock
    cdef int folder_fd
    cdef bint is_gone  # The folder was removed or moved, or another process has locked it.
    cdef Py_ssize_t forks  # when the folder was locked

    cdef int open_folder(self, str path, str sync, Py_ssize_t segment_bytes, object keep_bytes) except -1
    cdef int unlock(self) except -1
    cdef bint is_forked(self) noexcept
    cdef int raise_fork(self) except -1
    cdef int check_folder(self) except -1
    cdef int restore_files(self, list segments) except -1
    cdef int hold_lock(self) except -1
    cdef int open_segments(self, object dtype, object encoder) except -1
    cdef int begin(self, object encoder) except -1
    cdef int resume(self) except -1
    cdef str why_not(self, object encoder)
    cdef int drop_segments(self) except -1

    # The writer's part. `write` returns False if the disk is too full for the block; a part may fit.
    cdef bint write(self, object block, Py_ssize_t count) except -1
    cdef bint is_full(self) noexcept
    cdef int rotate(self) except -1
    cdef bint has_backlog(self) except -1
    cdef Py_ssize_t n_free(self) noexcept

    # In any thread.
    cdef int sync_now(self) except -1
    cdef int sync_all(self) except -1
    cdef int sync_segment(self, SegmentWriter segment) except -1
    cdef int publish_segment(self, list full, SegmentWriter segment, object manifest) except -1
    cdef int seal(self, SegmentWriter segment) except -1
    cdef object oldest_to_keep(self)
    cdef int sync_count(self) except -1
    cdef long long count(self) except -1
    cdef long long removed(self) except -1
