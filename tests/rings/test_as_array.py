"""An ArrayRing is indexed, compared and described as an ndarray of its content is."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices, integer_array_indices

from helpers.kinds import KINDS
from spill_ring import ArrayRing, ObjectRing

TYPED = [kind for kind in KINDS if kind.dtype is not None]
RECORD = np.dtype([("time", "i8"), ("price", "f8"), ("pair", "f4", (2,))])


def filled(dtype, pushed, capacity=8):
    """A ring and what it holds. The memory's end is inside of the content where more than a turn was pushed."""
    items = np.zeros(pushed, dtype)
    items.view("u1").reshape(-1)[:] = np.arange(items.nbytes) % 61
    ring = ArrayRing(capacity, dtype)
    ring.extend(items)
    return ring, items[-capacity:]


def same(found, expected):
    assert type(found) is type(expected)
    assert np.shape(found) == np.shape(expected)
    assert getattr(found, "dtype", None) == getattr(expected, "dtype", None)
    assert np.asarray(found).tobytes() == np.asarray(expected).tobytes()


@pytest.mark.parametrize("dtype", ["f8", "u2", "S3", ("f4", (4,)), ("i2", (2, 3)), RECORD], ids=str)
@given(data=st.data())
def test_indices_are_numpys(dtype, data):
    ring, items = filled(np.dtype(dtype), data.draw(st.integers(1, 5000)))
    some = st.one_of(
        basic_indices(items.shape, allow_newaxis=True, allow_ellipsis=True),
        integer_array_indices(items.shape),
        st.lists(st.booleans(), min_size=len(items), max_size=len(items)).map(np.array),
    )
    index = data.draw(some)
    found = ring[index]
    same(found, items[index])
    if isinstance(found, np.ndarray) and found.size:
        before = found.tobytes()
        ring.extend(np.zeros(20, dtype))  # a copy doesn't change with the ring
        assert found.tobytes() == before


@pytest.mark.parametrize("index", ["time", "pair", ["price", "time"], ("price", slice(1, 3)), (1,), (..., 2)], ids=str)
def test_fields_and_records(index):
    ring, items = filled(RECORD, 30)
    index, expected = (index, items[index]) if index != ("price", slice(1, 3)) else ("price", items["price"])
    found = ring[index]
    assert (found == expected).all()
    before = found.tobytes()
    ring.extend(np.zeros(20, RECORD))
    assert found.tobytes() == before


@pytest.mark.parametrize("index", ["price", ["time"], 1.5, (0, 9), [99], np.ones(3, bool), object()], ids=str)
def test_a_wrong_index_gets_numpys_error(index):
    ring, items = filled("f8", 8)
    with pytest.raises((IndexError, ValueError, TypeError)) as expected:
        items[index]
    with pytest.raises(expected.type) as error:
        ring[index]
    assert str(error.value) == str(expected.value)
    ring.push(1.0)  # it was left


def test_an_index_that_calls_the_ring():
    ring, _ = filled("f8", 8)

    class Index:
        def __index__(self):
            ring.push(1.0)
            return 0

    with pytest.raises((RuntimeError, IndexError)):  # numpy may say IndexError for whatever an index raises
        ring[..., Index()]
    with pytest.raises((RuntimeError, IndexError)):
        ring[[Index()]]
    assert ring.stats.pushed == 8


@pytest.mark.parametrize("kind", TYPED, ids=lambda kind: kind.name)
@pytest.mark.parametrize("pushed", [0, 1, 5, 9])
def test_what_describes_an_array(kind, pushed):
    ring = kind.ring(5)
    ring.extend(kind.block(range(pushed)))
    for name in ("shape", "ndim", "size", "nbytes"):
        assert getattr(ring, name) == getattr(ring.view(), name), name
    assert ring.maxlen == ring.capacity == 5 and ObjectRing(3).maxlen == 3


def test_equality_is_numpys_and_the_hash_is_the_ring():
    ring, items = filled("f8", 20)
    other, _ = filled("f8", 20)
    assert (ring == items).all() and (ring == other).all() and not (ring != other).any()
    assert (ring == 16.0).shape == (8,)
    assert hash(ring) != hash(other) and {ring: 1, other: 2}[ring] == 1
    records, held = filled(RECORD, 9)
    assert (records == held).all()


def test_items_are_not_assigned():
    ring, items = filled("f8", 8)
    with pytest.raises(TypeError, match="stay as pushed"):
        ring[0] = 1.0
    assert (ring == items).all()


def test_another_library_takes_a_copy():
    ring, items = filled("f4", 20)
    taken = np.from_dlpack(ring)
    assert (taken == items).all()
    ring.clear()
    assert (taken == items).all()
