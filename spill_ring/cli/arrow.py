"""Items as columns of Arrow, which a Parquet file holds."""
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spill_ring.cli.columns import NAT, Column, columns_of, in_units, texts
from spill_ring.cli.text import in_utf8

if TYPE_CHECKING:
    import pyarrow

# For each unit of times the one of Arrow that holds it, and how many of those it is. Days are a type of their own.
UNITS = {
    "W": ("D", 7), "D": ("D", 1), "h": ("s", 3600), "m": ("s", 60),
    "s": ("s", 1), "ms": ("ms", 1), "us": ("us", 1), "ns": ("ns", 1),
}
CALENDAR = {"Y": "years", "M": "months"}  # have no fixed length: they are numbers, and the field says of what


def fields_of(dtype: np.dtype[Any]) -> list["pyarrow.Field"]:
    """The field of each column.

    Raises
    ------
    ValueError
        Arrow has no type for one of them; or there is none.
    """
    import pyarrow

    found = []
    for column in columns_of(dtype):
        type_ = _type_of(column)
        unit = CALENDAR.get(np.datetime_data(column.dtype)[0]) if column.dtype.kind in "mM" else None
        note = None if unit is None else {"unit": f"{unit} since 1970" if column.dtype.kind == "M" else unit}
        found.append(pyarrow.field(in_utf8(column.name), type_, metadata=note))
    if not found:
        raise ValueError("the items have no fields, and Arrow can't count what has no column; export a .npy file")
    return found


def _type_of(column: Column) -> "pyarrow.DataType":
    """Its type in Arrow: times of the next finer unit that Arrow has, complex numbers as a struct of two."""
    import pyarrow

    dtype = column.dtype
    unit = np.datetime_data(dtype)[0] if dtype.kind in "mM" else ""
    if unit in CALENDAR:
        return pyarrow.int32()
    if unit in UNITS:
        finer = UNITS[unit][0]
        if dtype.kind == "m":
            return pyarrow.duration("s" if finer == "D" else finer)
        return pyarrow.date32() if finer == "D" else pyarrow.timestamp(finer)
    if dtype.kind in "SV":
        return pyarrow.binary(dtype.itemsize if dtype.kind == "V" else -1)
    if dtype.kind == "U":
        return pyarrow.string()
    if dtype.kind == "c" and dtype.itemsize <= 16:
        part = pyarrow.from_numpy_dtype(np.dtype(f"f{dtype.itemsize // 2}"))
        return pyarrow.struct([("real", part), ("imag", part)])
    if dtype.kind in "biu" or (dtype.kind == "f" and dtype.itemsize <= 8):
        return pyarrow.from_numpy_dtype(dtype.newbyteorder("="))
    raise ValueError(f"{column.name} is {dtype}, and Arrow has no type for that; .npy and .csv files hold it")


def arrays_of(items: NDArray[Any]) -> list["pyarrow.Array"]:
    """The values of each column.

    Raises
    ------
    ValueError
        A time is too far away for the unit that Arrow has.
    """
    return [_array(column, column.of(items)) for column in columns_of(np.dtype((items.dtype, items.shape[1:])))]


def _array(column: Column, values: NDArray[Any]) -> "pyarrow.Array":
    import pyarrow

    type_ = _type_of(column)
    kind = column.dtype.kind
    if kind in "mM":
        return _times(column, values, type_)
    if kind == "V":
        return pyarrow.array([value.tobytes() for value in values], type_)
    if kind == "U":
        return pyarrow.array(texts(values, raw=True), type_)
    if kind == "S":
        return pyarrow.array(values.tolist(), type_)
    values = values.astype(values.dtype.newbyteorder("="))
    if kind == "c":
        return pyarrow.StructArray.from_arrays([values.real.copy(), values.imag.copy()], fields=list(type_))
    return pyarrow.array(values, type_)


def _times(column: Column, values: NDArray[Any], type_: "pyarrow.DataType") -> "pyarrow.Array":
    """The numbers of times and durations in the unit that Arrow has, with null for NaT."""
    import pyarrow

    numbers, unit, count = in_units(values)
    finer, factor = UNITS.get(unit, ("", 1))
    if finer == "D" and column.dtype.kind == "m":
        factor *= 86400
    stored = pyarrow.int32() if type_.bit_width == 32 else pyarrow.int64()
    limit = (2 ** (type_.bit_width - 1) - 1) // (factor * count)
    if type_ == pyarrow.timestamp("s"):
        limit //= 1000  # a Parquet file keeps milliseconds
    is_missing = numbers == NAT
    is_far = ~is_missing & ((numbers > limit) | (numbers < -limit))
    if is_far.any():
        far, = texts(values[is_far][:1])
        raise ValueError(f"{column.name} has a {values.dtype} that Arrow has no room for: {far}")
    scaled = np.where(is_missing, 0, numbers) * (factor * count)
    return pyarrow.array(scaled, stored, mask=is_missing).cast(type_)
