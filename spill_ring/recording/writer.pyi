from typing_extensions import disjoint_base

LOCK: str
MANIFEST: str

@disjoint_base
class SegmentWriter: ...
@disjoint_base
class RecordingWriter:
    @property
    def path(self) -> str: ...
    @property
    def segment_bytes(self) -> int: ...
    @property
    def keep_bytes(self) -> int | None: ...
    @property
    def sync(self) -> str: ...
