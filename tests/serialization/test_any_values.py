"""Any values and any bytes: round trips, and data that nobody wrote."""
from typing import Annotated, Optional

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from helpers.values import GOLDEN, Node, Order, Point, Sample, Version, deserialize, serialize, serializer
from spill_ring import (
    InvalidData,
    UnexpectedEnd,
)


@pytest.mark.parametrize("dtype", ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"])
def test_arrays_are_lists(dtype):
    array = np.array([0, 1, 1, 0, 1], dtype)
    kind = array.dtype.type
    data = serialize(list(array), list[kind])
    assert data == b"\5" + array.tobytes() == serialize(array) == serialize(array, list[kind])
    assert data == serialize(array, NDArray[kind]) == serialize(array.astype(array.dtype.newbyteorder()), NDArray[kind])
    assert serialize(np.repeat(array, 2)[::2], list[kind]) == data
    out = deserialize(data, NDArray[kind])
    assert out.dtype == dtype and out.tolist() == array.tolist() and out.flags.owndata and out.flags.writeable
    assert deserialize(data, list[kind]) == list(array)
    assert deserialize(b"\0", NDArray[kind]).shape == (0,)


def numbers(kind):
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        return st.floats(width=8 * dtype.itemsize).map(kind)
    info = np.iinfo(kind)
    return st.integers(info.min, info.max).map(kind)


NUMBERS = [np.dtype(code).type for code in "bhiqBHIQefd"]
LEAVES = st.sampled_from([
    (None, st.none()),
    (bool, st.booleans()),
    (int, st.integers(-(2**63), 2**63 - 1)),
    (float, st.floats()),
    (str, st.text()),
    (bytes, st.binary()),
    (Point, st.builds(Point, numbers(np.int16), st.floats(width=32, allow_nan=False))),
    (Version, st.lists(st.integers(0, 255), min_size=1).map(lambda parts: Version(*parts))),
    (Annotated[bytes, "S5"], st.binary(max_size=5).filter(lambda tag: tag[-1:] != b"\0")),
    (Annotated[str, "U5"], st.text(max_size=5).filter(lambda tag: tag[-1:] != "\0")),
    *[(kind, numbers(kind)) for kind in NUMBERS],
])


def containers(inner):
    def optional(pair):
        return (Optional[pair[0]], st.none() | pair[1])  # noqa: UP045

    def listed(pair):
        return (list[pair[0]], st.lists(pair[1], max_size=5))

    def together(pairs):
        return (tuple[tuple(pair[0] for pair in pairs)], st.tuples(*[pair[1] for pair in pairs]))

    takes_bytes = inner.filter(lambda pair: "None" not in str(pair[0]) and "tuple" not in str(pair[0]))
    return inner.map(optional) | takes_bytes.map(listed) | st.lists(inner, max_size=4).map(together)


TYPES = st.recursive(LEAVES, containers, max_leaves=6)
TYPED = TYPES.flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1]))


def same(a, b):
    """Equal, and of the same types, with all NaNs one."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
    return a == b or (a != a and b != b)


@pytest.mark.slow
@settings(deadline=None)
@given(TYPED)
def test_round_trips(typed):
    kind, value = typed
    data = serialize(value, kind)
    out = deserialize(data, kind)
    assert same(out, value)
    assert serialize(out, kind) == data
    buffer = bytearray(len(data))
    assert serializer.to_bytes(value, buffer, kind) == len(data) and buffer == data
    for n in range(max(0, len(data) - 40), len(data)):
        with pytest.raises(UnexpectedEnd):
            deserialize(data[:n], kind)


@settings(deadline=None)
@given(arrays(st.sampled_from([np.dtype(kind) for kind in [*NUMBERS, np.bool_]]), st.integers(0, 50)))
def test_round_trips_of_arrays(array):
    out = deserialize(serialize(array), NDArray[array.dtype.type])
    assert out.tobytes() == array.tobytes() and out.dtype == array.dtype


# Types whose floats keep all bits: of a float in less than 8 bytes a signalling NaN becomes a quiet one.
FUZZED = [kind for _, kind, _ in GOLDEN if "float, 'f" not in str(kind) and kind not in (Point, Sample, Order)] + [
    NDArray[np.float32], NDArray[np.bool_], list[tuple[bool, str | None]], list[Annotated[np.ndarray, ("?", (2,))]],
    tuple[list[np.float16], str, bytes | None], list[list[list[bool]]], list[Node],
]


def check_fuzzed(data, kind):
    try:
        value = deserialize(data, kind)
    except (UnexpectedEnd, InvalidData):
        return
    assert serialize(value, kind) == data


@pytest.mark.slow
@settings(deadline=None, max_examples=600)
@given(st.binary(max_size=60), st.sampled_from(FUZZED))
def test_any_bytes_are_a_value_or_refused(data, kind):
    check_fuzzed(data, kind)


@pytest.mark.slow
@settings(deadline=None, max_examples=600)
@given(TYPED, st.data())
def test_mutated_bytes_are_a_value_or_refused(typed, data):
    kind, value = typed
    if "Point" in str(kind):
        return
    changed = bytearray(serialize(value, kind))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed)))
        changed[at:at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    check_fuzzed(bytes(changed), kind)


@pytest.mark.parametrize("kind", FUZZED, ids=str)
def test_each_bit_flipped(kind):
    for _, golden_kind, golden in GOLDEN:
        if golden_kind == kind and len(golden) < 200:
            data = bytes.fromhex(golden)
            for bit in range(8 * len(data)):
                changed = bytearray(data)
                changed[bit // 8] ^= 1 << bit % 8
                check_fuzzed(bytes(changed), kind)
