"""Bounded buffers that keep the newest items and spill the oldest to a sink."""

from spill_ring.array_ring import ArrayRing
from spill_ring.background_sink import BackgroundSink
from spill_ring.headers import get_include
from spill_ring.history import History
from spill_ring.mpsc_ring import MpscRing
from spill_ring.object_ring import ObjectRing
from spill_ring.records import record
from spill_ring.ring import Stats
from spill_ring.segment import DamagedError
from spill_ring.serialize import (
    BufferTooSmall,
    ByteSerializer,
    FromBytes,
    InvalidData,
    SerializationError,
    ToBytes,
    UnexpectedEnd,
)
from spill_ring.sink import (
    BatchSink,
    ChannelSink,
    CollectSink,
    DropSink,
    FnSink,
    LockedSink,
    ProducerSink,
    ReduceSink,
    Sink,
    TeeSink,
)
from spill_ring.sinks.disk import DiskSink
from spill_ring.sinks.file import FileSink
from spill_ring.spill import SpillRing
from spill_ring.spill_log import SpillLog
from spill_ring.spsc_ring import SpscRing

__version__ = "0.1.0"

__all__ = [
    "ArrayRing",
    "BackgroundSink",
    "BatchSink",
    "BufferTooSmall",
    "ByteSerializer",
    "ChannelSink",
    "CollectSink",
    "DamagedError",
    "DiskSink",
    "DropSink",
    "FileSink",
    "FnSink",
    "FromBytes",
    "History",
    "InvalidData",
    "LockedSink",
    "MpscRing",
    "ObjectRing",
    "ProducerSink",
    "ReduceSink",
    "SerializationError",
    "Sink",
    "SpillLog",
    "SpillRing",
    "SpscRing",
    "Stats",
    "TeeSink",
    "ToBytes",
    "UnexpectedEnd",
    "get_include",
    "record",
]
