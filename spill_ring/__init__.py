"""Bounded buffers that keep the newest items and spill the oldest to a sink."""

from spill_ring._core.sink import DropSink, Sink
from spill_ring.history import History
from spill_ring.interop.include_path import get_include
from spill_ring.recording.files import DamagedError
from spill_ring.recording.log import SpillLog
from spill_ring.rings.array import ArrayRing
from spill_ring.rings.base import Stats
from spill_ring.rings.factory import SpillRing
from spill_ring.rings.object import ObjectRing
from spill_ring.serialization.errors import (
    BufferTooSmall,
    FromBytes,
    InvalidData,
    SerializationError,
    ToBytes,
    UnexpectedEnd,
)
from spill_ring.serialization.record import record
from spill_ring.serialization.serializer import ByteSerializer
from spill_ring.sinks.batch import BatchSink
from spill_ring.sinks.channel import ChannelSink
from spill_ring.sinks.collect import CollectSink
from spill_ring.sinks.disk import DiskSink
from spill_ring.sinks.file import FileSink
from spill_ring.sinks.function import FnSink
from spill_ring.sinks.locked import LockedSink
from spill_ring.sinks.per_producer import ProducerSink
from spill_ring.sinks.reduce import ReduceSink
from spill_ring.sinks.tee import TeeSink
from spill_ring.threads.background import BackgroundSink
from spill_ring.threads.errors import ConsumerGoneError
from spill_ring.threads.mpsc import MpscRing
from spill_ring.threads.spsc import SpscRing

__version__ = "0.1.0"

__all__ = [
    "ArrayRing",
    "BackgroundSink",
    "BatchSink",
    "BufferTooSmall",
    "ByteSerializer",
    "ChannelSink",
    "CollectSink",
    "ConsumerGoneError",
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
