from types import TracebackType
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer, disjoint_base

ENTRY_BYTES: int
PAGE: np.dtype[np.void]

@disjoint_base
class FileMap:
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __len__(self) -> int: ...

@disjoint_base
class BlockFile:
    def __new__(cls, path: str) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None: ...
    @property
    def size(self) -> int: ...
    def read(self, size: int, start: int) -> bytes: ...
    def read_into(self, buffer: Buffer, start: int) -> int: ...
    def map(self, size: int) -> FileMap: ...
    def damaged_blocks(self, entries: Buffer) -> list[tuple[int, int, int, int, OSError | None]]: ...

@disjoint_base
class Pages:
    first: int
    reached: int
    data_end: int
    array: NDArray[np.void]
    is_checked: bytearray
    has_gaps: bool
    cut_from: int | None
    time: int
    error: OSError | None
    def __init__(self, first: int, header_size: int, itemsize: int) -> None: ...
    def add(
        self,
        entries: Buffer,
        at: int,
        sealed: int,
        end: int,
        file_size: int,
        file: BlockFile | None,
        keep_unchecked: bool,
    ) -> int: ...
    def set_checked(self, i: int, is_checked: bool) -> None: ...

def are_entries_of(data: Buffer, first: int, end: int, start: int, size: int) -> bool: ...
def objects_in(block: Buffer, count: int, start: int, stop: int) -> list[bytes] | None: ...
