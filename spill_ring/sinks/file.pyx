"""`FileSink`: raw items into any binary file object.

The module is compiled, although it is plain Python, so that no signal handler runs between a write and its accounting.
"""
from spill_ring._core.conversion cimport as_block
from spill_ring._core.delivery cimport refuse_async, refuse_coroutine
from spill_ring._core.sink cimport Sink, dtype_for

import io


class FileSink(Sink):
    """Writes the bytes of the items to a binary file object: no header, no framing.

    Parameters
    ----------
    file : binary file object
        Open for writing: a file, a pipe, a socket's ``makefile("wb")``, ``gzip.open(…, "wb")``. It
        stays the caller's: `flush` flushes it, `close` doesn't close it.

    Raises
    ------
    TypeError
        `file` has no ``write``, or one that has to be awaited, or is a text file; or, as it is attached, the ring
        holds objects.
    ValueError
        `file` is not open for writing.

    Notes
    -----
    ``write`` returns how many bytes it took, and the rest is written at once. If it returns None it took all of them,
    or, of an `io.RawIOBase`, none: that and 0 are a `BlockingIOError`, and the items stay where they are.

    For typed rings; ``np.fromfile(path, ring.dtype)`` reads them back. A write that fails part of the
    way (a full disk) has taken the whole items that got through, and the sink finishes the broken
    one before it takes another. That holds to the byte for an unbuffered file; what Python's own
    buffer holds when a write fails is Python's. **Thread safety.** One thread at a time; a second is
    refused with `RuntimeError`.

    >>> import io
    >>> file = io.BytesIO()
    >>> with ArrayRing(2, "u1", sink=FileSink(file)) as ring:
    ...     ring.extend([1, 2, 3])
    >>> file.getvalue()
    b'\\x01\\x02\\x03'
    """

    def __init__(self, file):
        if not callable(getattr(file, "write", None)) or isinstance(file, io.TextIOBase):
            raise TypeError(f"{file!r} is no binary file object; open it in mode 'wb'")
        refuse_async(file, file.write)
        if hasattr(file, "writable") and not file.writable():
            raise ValueError(f"{file!r} is not open for writing")
        self.file = file
        self._is_raw = isinstance(file, io.RawIOBase)  # whose `write` returns None where it took nothing
        self._broken = b""  # the rest of an item that was written in part

    def attached(self, dtype):
        """Refuse a ring of objects, which have no bytes of their own."""
        if dtype is None:
            raise TypeError("FileSink writes the bytes of typed items; for objects use a function that encodes")
        (<Sink>self).enter()
        try:
            self._begin(dtype)
        finally:
            (<Sink>self).leave()

    # What a subclass overrides; nobody else is inside.

    def _begin(self, dtype):
        pass

    def send(self, items):
        """Write a block of items.

        Raises
        ------
        ValueError
            The sink is closed, or the file is.
        RuntimeError
            Another thread is inside.
        OSError
            What the file raises; the ring's `stats` tell how many whole items got through.
        """
        items = as_block(items, dtype_for(self, items))
        (<Sink>self).enter()
        try:
            self._n_taken = 0
            self._send(items)
        except BaseException as error:
            # In a subclass that isn't compiled (NpySink), a signal handler may raise after the write.
            error.n_taken = self._n_taken
            raise
        finally:
            (<Sink>self).leave()

    def _send(self, items):
        self._finish()
        data = memoryview(items.reshape(-1).view("u1"))
        written = 0
        try:
            while written < len(data):
                written += self._write(data[written:])
        except BaseException:
            size = len(data) // len(items)
            whole, part = divmod(written, size)
            if part:
                self._broken = bytes(data[written : (whole + 1) * size])
            self._n_taken = whole + bool(part)
            raise
        self._n_taken = len(items)

    def flush(self):
        """Finish a broken item and flush the file; raises what the file raises."""
        if self.closed:
            return  # close() has flushed it
        (<Sink>self).enter()
        try:
            self._flush()
        finally:
            (<Sink>self).leave()

    def _flush(self):
        self._finish()
        self._flush_file()

    def _flush_file(self):
        if hasattr(self.file, "flush") and not getattr(self.file, "closed", False):
            self.file.flush()

    def _finish(self):
        while self._broken:
            self._broken = self._broken[self._write(self._broken) :]

    def _write(self, data):
        try:
            written = self.file.write(data)
        except BlockingIOError as error:  # of a buffered file, which may have taken a part
            written = getattr(error, "characters_written", 0)
            if not written:
                raise
        # Up to the end of what is right no Python code runs, and so no signal handler.
        if written is None:
            written = 0 if self._is_raw else len(data)
        if type(written) is int and 0 < written <= len(data):
            return written
        refuse_coroutine(self.file.write, written)
        if isinstance(written, bool) or not isinstance(written, int):
            raise TypeError(f"{self.file!r}.write returned {written!r}; it should return a number of bytes, or None")
        if not 0 <= written <= len(data):
            raise ValueError(f"{self.file!r}.write returned {written}; it was given {len(data)} bytes")
        if written == 0:
            raise BlockingIOError(f"{self.file!r} takes no more for now")
        return int(written)

    def __repr__(self):
        return f"FileSink({self.file!r})"
