"""`NpySink`: a ``.npy`` file that grows."""
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spill_ring.recording.dtypes import check_kept
from spill_ring.recording.layout import header_of, with_count
from spill_ring.sinks.file import FileSink


class NpySink(FileSink):
    """Writes the items to a ``.npy`` file, which `numpy.load` opens after every flush.

    Parameters
    ----------
    file : seekable binary file object
        Open for writing, empty, not in append mode. It stays the caller's: `close` writes the header
        for the last time and leaves the file open.

    Raises
    ------
    TypeError
        As it is attached: the ring holds objects, or items whose dtype a ``.npy`` file doesn't keep.

    Notes
    -----
    `flush` writes the header again in place, with the count of items that are complete in the file, also when
    the rest of an incomplete item can't be written. A full disk is handled as by `FileSink`, and the file stays
    readable. **Thread safety.** One thread at a time; a second is refused with
    `RuntimeError`.

    >>> import io
    >>> import numpy as np
    >>> file = io.BytesIO()
    >>> with ArrayRing(2, "u1", sink=NpySink(file)) as ring:
    ...     ring.extend([1, 2, 3])
    >>> np.load(io.BytesIO(file.getvalue()))
    array([1, 2, 3], dtype=uint8)
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._header = b""  # for no items yet
        self._itemsize = 0

    def _begin(self, dtype: np.dtype[Any]) -> None:
        check_kept(dtype)
        self._header = header_of(dtype)
        self._itemsize = dtype.itemsize
        self._write_header(0)

    def _send(self, items: NDArray[Any]) -> None:
        if not self._header:  # sent to by hand, not by a ring
            self._begin(np.dtype((items.dtype, items.shape[1:])))
        super()._send(items)

    def _flush(self) -> None:
        try:
            super()._flush()
        finally:
            if self._header:
                self._write_header(self.count)
                self._flush_file()

    @property
    def count(self) -> int:
        """Items that are complete in the file."""
        return (self.file.tell() - len(self._header)) // self._itemsize if self._header else 0

    def _write_header(self, count: int) -> None:
        header = with_count(self._header, count)
        end = self.file.tell()
        self.file.seek(0)
        try:
            while header:
                header = header[self._write(header) :]
        finally:
            self.file.seek(max(end, len(self._header)))

    def __repr__(self) -> str:
        return f"NpySink({self.file!r})"
