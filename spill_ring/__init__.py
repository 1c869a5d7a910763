"""Bounded buffers that keep the newest items and spill the oldest to a sink."""

from spill_ring.array_ring import ArrayRing
from spill_ring.background_sink import BackgroundSink
from spill_ring.batch_sink import BatchSink
from spill_ring.channel_sink import ChannelSink
from spill_ring.collect_sink import CollectSink
from spill_ring.fn_sink import FnSink
from spill_ring.headers import get_include
from spill_ring.history import History
from spill_ring.locked_sink import LockedSink
from spill_ring.mpsc_ring import MpscRing
from spill_ring.object_ring import ObjectRing
from spill_ring.producer_sink import ProducerSink
from spill_ring.records import record
from spill_ring.reduce_sink import ReduceSink
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
from spill_ring.sink import DropSink, Sink
from spill_ring.sinks.disk import DiskSink
from spill_ring.sinks.file import FileSink
from spill_ring.spill import SpillRing
from spill_ring.spill_log import SpillLog
from spill_ring.spsc_ring import SpscRing
from spill_ring.tee_sink import TeeSink

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
