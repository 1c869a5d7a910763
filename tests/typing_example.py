"""What users write, for `mypy --strict` to accept; `test_types` runs it as well.

Under `if TYPE_CHECKING` is what must be refused: each line names the error that it has to give, and
strict mode objects to a `type: ignore` that ignores nothing.
"""
from __future__ import annotations

import asyncio
import io
import queue
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

import numpy as np
from numpy.typing import NDArray

from spill_ring import (
    ArrayRing,
    BatchSink,
    ByteSerializer,
    ChannelSink,
    CollectSink,
    DropSink,
    FileSink,
    FnSink,
    FromBytes,
    History,
    LockedSink,
    MpscRing,
    ObjectRing,
    ProducerSink,
    ReduceSink,
    Sink,
    SpillRing,
    SpscRing,
    Stats,
    TeeSink,
    ToBytes,
    record,
)


class Peaks(Sink):
    def __init__(self) -> None:
        self.peaks: list[float] = []

    def attached(self, dtype: np.dtype[Any] | None) -> None:
        if dtype is None:
            raise TypeError("Peaks is for typed rings")

    def send(self, items: NDArray[np.float64]) -> int | None:
        for n, item in enumerate(items):
            if np.isnan(item):
                return n
        self.peaks.append(float(items.max()))
        return None

    def flush(self) -> None:
        self.peaks.sort()


@record
@dataclass
class Reading:
    time: int
    value: np.float32


class Version:
    def to_bytes(self) -> bytes:
        return b"1"

    @classmethod
    def from_bytes(cls, data: bytes) -> Version:
        return cls()


def values() -> None:
    ring = ArrayRing(4, Reading)
    item = Reading(1, np.float32(2))
    ring.push(item)
    ring.extend([item])
    serializer = ByteSerializer()
    assert_type(serializer.deserialize(serializer.serialize(item), Reading), Reading)
    optional: int | None = serializer.deserialize(serializer.serialize(None, int | None), int | None)
    assert optional is None
    assert_type(serializer.to_bytes(item, bytearray(20)), int)
    writes: ToBytes = Version()
    reads: type[FromBytes] = Version
    assert serializer.deserialize(serializer.serialize(writes), reads)


class Lines:
    """No `Sink`, but it has `send`."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def send(self, line: str) -> int:
        self.lines.append(line)
        return len(line)


class Log(ObjectRing[str]):
    """A ring of one's own."""

    def __init__(self, name: str, capacity: int = 4) -> None:
        super().__init__(capacity)
        self.name = name

    def say(self, text: str) -> None:
        self.push(f"{self.name}: {text}")


def objects() -> None:
    spilled: list[int] = []
    ring = ObjectRing(2, spilled.append)
    assert_type(ring, ObjectRing[int])
    ring.push(1)
    ring.extend(n for n in (2, 3))
    assert_type(ring.try_push(4), bool)
    assert_type(ring.try_extend([4, 5]), int)
    assert_type(ring.peek(), int)
    assert_type(ring.peek_back(), int)
    assert_type(ring[0], int)
    assert_type(ring[-1:], list[int])
    assert_type(ring.latest(1), list[int])
    assert_type([*ring, *reversed(ring)], list[int])
    assert_type(2 in ring, bool)
    assert_type(ring.pop(), int)
    assert_type(ring.pop(-1), int)
    assert_type(ring.pop(None), int | None)
    assert_type(ring.pop(default="none"), int | str)
    assert_type(ring.pop_many(), list[int])
    assert_type(ring.pop_many(n=1), list[int])
    assert spilled == [1]

    lines = Lines()
    warm: ObjectRing[str] = ObjectRing(capacity=8, sink=lines)
    hot: ObjectRing[str] = ObjectRing(4, sink=warm)
    hot.extend(["a", "b"])
    assert_type(hot.drain(warm), int)
    assert_type(warm.drain(lines.lines.append), int)
    assert lines.lines == ["a", "b"]

    anything = ObjectRing(4)
    assert_type(anything, ObjectRing[Any])
    anything.extend([1, "one", None])

    with Log("pump") as log:
        assert_type(log, Log)
        log.say("on")
        assert_type(log.pop(), str)


def arrays() -> None:
    archive = ArrayRing(64)
    ring = ArrayRing(capacity=4, dtype="f8", sink=archive)
    frames = ArrayRing(4, ("f4", (2,)))
    records = ArrayRing(4, [("t", "M8[s]"), ("value", "f8")])
    ArrayRing(4, np.float32)
    ArrayRing(4, np.dtype("S16"))
    ArrayRing(np.int64(4), int)

    ring.push(1)
    ring.push(np.float32(2.5))
    ring.extend([1.0, 2.0])
    ring.extend(np.arange(8.0))
    ring.extend(float(n) for n in range(3))
    ring.extend(archive)
    ring.extend(memoryview(b"").cast("d"))
    frames.push((1.0, 2.0))
    frames.push(np.zeros(2, "f4"))
    frames.extend(np.zeros((3, 2), "f4"))
    records.push((np.datetime64("2026-01-01"), 3.0))
    assert_type(ring.try_push(1.0), bool)
    assert_type(ring.try_extend(np.zeros(3)), int)
    assert_type(ring.try_extend(n for n in range(3)), int)

    assert_type(ring.dtype, np.dtype[Any])
    assert_type(ring[1:], NDArray[Any])
    assert_type(ring.latest(2), NDArray[Any])
    assert_type(ring.view(), NDArray[Any])
    assert_type(np.asarray(ring), NDArray[Any])
    assert_type(ring[0] + 1, Any)
    assert_type(ring.pop(), Any)
    assert_type(ring.pop(default=None), Any | None)
    assert_type(ring.pop_many(2), NDArray[Any])
    assert_type(ring.pop_into(np.empty(4)), int)
    assert_type(ring.pop_into(memoryview(bytearray(32)).cast("d")), int)
    with ring.reserve(2) as block:
        assert_type(block, NDArray[Any])
        block[:] = 7.0
        ring.commit(1)
    assert_type(ring.flush(), int)


class Levels(ArrayRing[np.int16]):
    def __init__(self, capacity: int = 4) -> None:
        super().__init__(capacity, np.int16)

    def loudest(self) -> np.int16:
        return max(self)


def what_a_typed_ring_holds() -> None:
    assert_type(ArrayRing(4), ArrayRing[np.float64])
    assert_type(ArrayRing(4, sink=np.sum), ArrayRing[np.float64])
    assert_type(ArrayRing(4, np.dtype(np.uint8)), ArrayRing[np.uint8])
    assert_type(ArrayRing(4, "f4"), ArrayRing[Any])  # no type checker reads the string
    assert_type(ArrayRing(4, ("f4", (2,))), ArrayRing[Any])
    assert_type(ArrayRing(4, np.dtype(("f4", (2,)))), ArrayRing[Any])  # its items are arrays
    assert_type(ArrayRing[np.float32](4, "f4"), ArrayRing[np.float32])
    said: ArrayRing[np.float32] = ArrayRing(4, "f4")
    assert_type(SpillRing(4, np.float32), ArrayRing[np.float32])

    ring = ArrayRing(4, np.float32, said)
    assert_type(ring, ArrayRing[np.float32])
    ring.extend([1.5, 2, 3])
    assert_type(ring.dtype, np.dtype[np.float32])
    assert_type(ring.peek(), np.float32)
    assert_type(ring[-1], np.float32)
    assert_type(list(ring), list[np.float32])
    assert_type(next(reversed(ring)), np.float32)
    assert_type(ring[1:], NDArray[np.float32])
    assert_type(ring.view(), NDArray[np.float32])
    assert_type(np.asarray(ring), NDArray[np.float32])
    assert_type(ring.history, History[np.float32, NDArray[np.float32]])
    assert_type(ring.history[0], np.float32)
    assert_type(ring.history.last(2), NDArray[np.float32])
    assert_type(ring.pop(), np.float32)
    assert_type(ring.pop(None), np.float32 | None)
    assert_type(ring.pop_many(), NDArray[np.float32])
    with ring.reserve(1) as block:
        assert_type(block, NDArray[np.float32])
        ring.commit(0)

    def last(ring: ArrayRing[np.floating]) -> float:
        return float(ring.peek_back())

    said.push(2)
    assert last(said) == 2
    levels = Levels()
    levels.extend([1, 3, 2])
    assert levels.loudest() == 3
    assert_type(levels.pop(), np.int16)
    assert_type(ObjectRing[str](4).history, History[str, list[str]])


async def what_a_ring_between_threads_holds() -> None:
    typed = SpscRing(4, np.float32)
    assert_type(typed, SpscRing[np.float32, NDArray[np.float32]])
    typed.extend([1, 2.5])
    typed.push(3)
    assert_type(typed.pop(), np.float32)
    assert_type(typed.pop(None), np.float32 | None)
    with typed.read(1) as block:
        assert_type(block, NDArray[np.float32])
    assert_type(typed.pop_many(), NDArray[np.float32])
    typed.close()
    for block in typed.blocks():
        assert_type(block, NDArray[np.float32])
    async for block in typed.ablocks():
        assert_type(block, NDArray[np.float32])

    assert_type(SpscRing(4), SpscRing[Any, Any])
    assert_type(SpscRing(4, "f8"), SpscRing[Any, NDArray[Any]])
    late: list[str] = []
    lines = SpscRing(4, sink=late.append)
    assert_type(lines, SpscRing[str, list[str]])
    lines.push("on")
    assert_type(lines.pop_many(), list[str])

    many = MpscRing[str, list[str]](4, producers=2)
    many.producers[0].push("on")
    assert_type(many.pop(), str)
    assert_type(MpscRing(4, np.int16, producers=1).pop_many(), NDArray[np.int16])


def either() -> None:
    assert_type(SpillRing(4), ObjectRing[Any])
    assert_type(SpillRing(4, None, print), ObjectRing[Any])
    assert_type(SpillRing(capacity=4, sink=print), ObjectRing[Any])
    typed = SpillRing(4, "i8", sink=CollectSink())
    assert_type(typed, ArrayRing)

    def fill(ring: SpillRing) -> None:
        ring.extend([1, 2, 3])
        ring.push(4)
        if isinstance(ring, ArrayRing):
            assert_type(ring.view(), NDArray[Any])
        elif isinstance(ring, ObjectRing):
            assert_type(ring, ObjectRing[Any])
            ring.push("any")

    fill(typed)
    fill(SpillRing(4))
    rings: list[SpillRing] = [typed, ObjectRing(4), ArrayRing(4)]
    for ring in rings:
        assert isinstance(ring, SpillRing)

    stats = typed.stats
    assert_type(stats, Stats)
    pushed, popped, spilled, dropped = stats
    assert pushed == popped + spilled + dropped + len(typed)
    assert_type(stats.pushed, int)
    assert_type(typed.capacity, int)
    assert_type(typed.is_empty or typed.is_full, bool)
    assert_type(typed.closed, bool)
    typed.clear()
    typed.close()


def sinks(path: Path) -> None:
    late: queue.SimpleQueue[Any] = queue.SimpleQueue()
    collected = CollectSink()
    peaks = Peaks()
    ring = ArrayRing(
        2,
        sink=TeeSink(
            peaks,
            collected,
            DropSink(),
            ChannelSink(queue=late),
            FnSink(fn=np.sum, flush=peaks.flush),
            LockedSink(sink=BatchSink(n=2, sink=lambda block: block.sum())),
            ReduceSink(n=2, reduce=np.maximum, sink=ArrayRing(8)),
            ReduceSink(2, np.median, DropSink()),
            ProducerSink(factory=lambda i: CollectSink()),
            FileSink(file=io.BytesIO()),
        ),
    )
    ring.extend([1.0, 2.0, 3.0, 4.0])
    ring.flush()
    history: History[np.float64, NDArray[np.float64]] = ring.history
    assert (history.first, history.end, len(history.last(2)), len(history[1:])) == (0, 4, 2, 3)
    assert_type(history.end, int)
    assert sum(len(block) for block in history.blocks(3)) == 4
    assert len(collected) == 4
    assert_type(CollectSink[list[str]]().items, list[str])
    assert collected.items.sum() == collected.take().sum()
    ring.close()

    with open(path, "wb") as file, ArrayRing(4, "i2", FileSink(file)) as recorded:
        recorded.extend(range(10))
    with ProducerSink(lambda i: CollectSink()) as each:
        each.send(1)
        assert each.producer(0).items == [1]


def main(folder: Path) -> None:
    objects()
    arrays()
    what_a_typed_ring_holds()
    asyncio.run(what_a_ring_between_threads_holds())
    either()
    sinks(folder / "recorded")
    values()


if TYPE_CHECKING:
    ArrayRing("4")  # type: ignore[call-overload]
    ArrayRing()  # type: ignore[call-overload]
    ArrayRing(4, "f8", Path())  # type: ignore[call-overload]
    ArrayRing(4, sink=CollectSink)  # type: ignore[arg-type]
    ArrayRing(4).push(object())  # type: ignore[arg-type]
    ArrayRing(4).push(item=1.0)  # type: ignore[call-arg]
    ArrayRing(4).extend(1.0)  # type: ignore[arg-type]
    ArrayRing(4).pop_into([0.0])  # type: ignore[arg-type]
    ObjectRing[str](4)["t"]  # type: ignore[call-overload]
    ArrayRing(4).history["t"]  # type: ignore[call-overload]
    ArrayRing(4).history.last()  # type: ignore[call-arg]
    ArrayRing(4).capacity = 8  # type: ignore[misc]
    ArrayRing(4, np.float32).drain(Peaks().send)  # type: ignore[arg-type]
    wrong: ArrayRing[np.float32] = ArrayRing[np.float64](4)  # type: ignore[assignment]
    ArrayRing[str](4)  # type: ignore[type-var]
    SpscRing[str, list[str]](4).push(1)  # type: ignore[arg-type]
    SpscRing[str, list[str]](4).extend([1])  # type: ignore[list-item]
    SpscRing(4, overflow="wait")  # type: ignore[call-overload]
    MpscRing(4)  # type: ignore[call-overload]
    ObjectRing(4, "f8")  # type: ignore[arg-type]
    ObjectRing[int](4).push("four")  # type: ignore[arg-type]
    ObjectRing[int](4, ObjectRing[str](4))  # type: ignore[arg-type]
    ObjectRing(4).view()  # type: ignore[attr-defined]
    SpillRing(4.0)  # type: ignore[call-overload]
    SpillRing(4).dtype  # type: ignore[attr-defined]
    FileSink(io.StringIO())  # type: ignore[arg-type]
    FileSink("path")  # type: ignore[arg-type]
    BatchSink(print, 4)  # type: ignore[arg-type]
    TeeSink(sinks=print)  # type: ignore[call-arg]
    CollectSink(8)  # type: ignore[call-arg]
    hash(Stats(1, 2, 3, "4"))  # type: ignore[arg-type]

    class _Wrong(Sink):
        def send(self) -> None: ...  # type: ignore[override]
