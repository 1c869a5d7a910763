"""A dtype comes back as it was given, or is refused where it is given."""
import io

import numpy as np
import pytest
from numpy._core._rational_tests import rational  # a type that numpy's own doesn't include, as ml_dtypes' are

from spill_ring import ArrayRing, DiskSink, SpillLog, SpillRing
from spill_ring.recording.layout import header_of
from spill_ring.sinks.npy import NpySink

pytestmark = pytest.mark.not_sanitized

ALIGNED = np.dtype([("a", "u1"), ("b", "f8"), ("c", "i2")], align=True)
KEPT = {
    "titles": np.dtype([(("A title", "a"), "i4"), ("b", "f8")]),
    "titles inside": np.dtype([("x", [("y", "i2"), (("A title", "z"), "i4")])]),
    "aligned": ALIGNED,
    "aligned arrays": np.dtype((ALIGNED, (2,))),
    "padded": np.dtype({"names": ["a"], "formats": ["i4"], "offsets": [4], "itemsize": 16}),
    "other bytes order": np.dtype([("a", ">i4"), ("b", ">M8[25s]")]),
    "void": np.dtype("V7"),
    "long double": np.dtype("g"),
    "a name that is not ASCII": np.dtype([("é", "U3")]),
    "many fields": np.dtype([(f"a long name of a field, the {n}th", "u1") for n in range(500)]),
}
METADATA = np.dtype("f8", metadata={"unit": "V"})
REFUSED = {
    "extension": (np.dtype(rational), "numpy would read"),
    "extension in arrays": (np.dtype((rational, (3,))), "numpy would read"),
    "extension in a field": (np.dtype([("a", "i4"), ("b", rational)]), "numpy would read"),
    "metadata": (METADATA, "doesn't keep the metadata"),
    "metadata in arrays": (np.dtype((METADATA, (2,))), "doesn't keep the metadata"),
    "metadata in a field": (np.dtype([("x", [("y", METADATA)])]), "doesn't keep the metadata"),
    "overlapping": (np.dtype({"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 2]}), "overlapping"),
    "out of order": (np.dtype({"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [2, 0]}), "out-of-order"),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept(tmp_path, name):
    dtype = KEPT[name]
    data = np.arange(50 * dtype.itemsize) % 100 if "U" not in repr(dtype) else np.zeros(50 * dtype.itemsize)
    items = np.frombuffer(data.astype("u1").tobytes(), dtype.base).reshape(50, *dtype.shape)
    for _ in range(2):
        with ArrayRing(3, dtype, DiskSink(tmp_path, sync="never", segment_bytes=1000)) as ring:
            ring.extend(items)
            assert ring.history[:].dtype == dtype.base
    log = SpillLog(tmp_path)
    assert log.dtype == dtype and log.verify() == []
    assert name == "long double" or (log[:] == np.concatenate([items, items])).all()  # there are NaN among those
    paths = sorted(tmp_path.glob("*.npy"))
    assert b"".join(path.read_bytes()[len(header_of(dtype)) :] for path in paths) == items.tobytes() * 2  # padding too
    assert repr(log.dtype.base.fields) == repr(dtype.base.fields)  # titles too
    file = io.BytesIO()
    with ArrayRing(3, dtype, NpySink(file)) as ring:
        ring.extend(items)
    assert file.getvalue()[len(header_of(dtype)) :] == items.tobytes()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path, name):
    """As it is given, and the folder is as good as before."""
    dtype, why = REFUSED[name]
    with DiskSink(tmp_path, sync="never") as sink:
        for make in (lambda: ArrayRing(3, dtype, sink), lambda: SpillRing(3, dtype, sink=sink)):
            with pytest.raises(TypeError, match=why):
                make()
        with pytest.raises(TypeError, match=why):
            sink.send(np.zeros(3, dtype.base).reshape(1, 3)[:, : (dtype.shape or (3,))[0]])
        sink.send(np.arange(3))
    assert SpillLog(tmp_path)[:].tolist() == [0, 1, 2]
    file = io.BytesIO()
    sink = NpySink(file)
    with pytest.raises(TypeError, match=why):
        ArrayRing(3, dtype, sink)
    assert file.getvalue() == b""
    ArrayRing(3, "i8", sink).close()
