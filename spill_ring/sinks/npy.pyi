from typing import BinaryIO

from spill_ring.sinks.file import FileSink

class NpySink(FileSink):
    def __init__(self, file: BinaryIO) -> None: ...
    @property
    def count(self) -> int: ...
