"""Checks that the serializer keeps nothing of what it wrote and read."""
import gc
import sys

import numpy as np
from numpy.typing import NDArray

from helpers.memory import growth
from helpers.values import Order, Point, Version, deserialize, serialize, serializer
from spill_ring import (
    SerializationError,
)


def check_no_leak():
    text, blob, version, point = "text" * 10, b"blob" * 10, Version(1, 2), Point(np.int16(1), 1.0)
    value = (text, blob, [version] * 3, Order(np.uint32(1), text, 2.5, [Point(np.int16(1), 1.0)]), [1.5] * 50)
    kind = tuple[str, bytes, list[Version], Order, list[float]]
    data = serialize(value, kind)

    def refused(call, *arguments):
        try:
            call(*arguments)
        except (SerializationError, TypeError):
            return
        raise AssertionError

    def work():
        for _ in range(50):
            assert serialize(value, kind) == data
            deserialize(data, kind)
            serializer.to_bytes(value, bytearray(len(data)), kind)
            for bad in (data[:-1], data + b"1", data[:5]):
                refused(deserialize, bad, kind)
            refused(serialize, (text, blob, [version, 5], value[3], []), kind)
            refused(serialize, [text, object()])
            assert deserialize(serialize(point), Point) == point
            deserialize(serialize(np.zeros(100)), NDArray[np.float64])

    held = (text, blob, version, kind, Order, Version, data, point, Point.__record__)
    work()
    gc.collect()
    before = [sys.getrefcount(thing) for thing in held]
    assert growth(work) < 8000  # an object in each turn would be more
    assert [sys.getrefcount(thing) for thing in held] == before


check_no_leak()
