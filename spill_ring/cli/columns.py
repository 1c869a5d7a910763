"""Items as named columns, one for each value in them, and the text of each value: for a table, a plot or a line."""
import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spill_ring.cli.text import cell, in_utf8, printable

MOST = 65_536  # columns of a table
NAT = np.iinfo("i8").min  # not a time


class Column(NamedTuple):
    """One value of each item."""

    name: str  # unlike all others, and printable: `time`, `position.x`, `value[1,2]`
    field: str  # the same without the numbers of elements, so that the elements of a sub-array have the same
    dtype: np.dtype[Any]
    steps: tuple[str | tuple[int, ...], ...]  # the fields and elements that lead to it

    def of(self, items: NDArray[Any]) -> NDArray[Any]:
        """A view of the items, of one dimension."""
        for step in self.steps:
            key: Any = step if isinstance(step, str) else (slice(None), *step)
            items = items[key]
        return items


@lru_cache(4)
def columns_of(dtype: np.dtype[Any], elements: int | None = None) -> tuple[Column, ...]:
    """The columns of items of a dtype, the first `MOST`.

    Parameters
    ----------
    dtype : dtype
        Of scalars, records, sub-arrays, and those nested in each other.
    elements : int, optional
        The elements of each sub-array, at most.

    Returns
    -------
    tuple of Column
        ``value`` for scalars; the fields of records by their names, nested ones as ``position.x``; the elements of
        sub-arrays as ``value[0]``, ``field[1,2]``. A name that is there already gets a number: ``position.x (2)``.

    >>> [column.name for column in columns_of(np.dtype([("time", "M8[us]"), ("position", "f4", (2,))]))]
    ['time', 'position[0]', 'position[1]']
    """
    found: dict[str, Column] = {}
    seen: dict[str, int] = {}
    for column in islice(_walk(dtype, "", "", (), elements), MOST):
        name = whole = printable(column.name)
        while name in found:
            seen[whole] = seen.get(whole, 1) + 1
            name = f"{whole} ({seen[whole]})"
        found[name] = column._replace(name=name, field=printable(column.field))
    return tuple(found.values())


def _walk(
    dtype: np.dtype[Any], name: str, field: str, steps: tuple[Any, ...], elements: int | None
) -> Iterator[Column]:
    if dtype.shape:
        for index in islice(np.ndindex(dtype.shape), elements):
            indexed = f"{name or 'value'}[{','.join(map(str, index))}]"
            yield from _walk(dtype.base, indexed, field or "value", (*steps, index), elements)
    elif dtype.names is None:
        yield Column(name or "value", field or "value", dtype, steps)
    else:
        for key in dtype.names:
            inner = f"{name}.{key}" if name else key
            inner_field = f"{field}.{key}" if field else key
            yield from _walk(dtype[key], inner, inner_field, (*steps, key), elements)


def width(dtype: np.dtype[Any], kinds: str = "") -> int:
    """How many columns there are, of these kinds of dtypes or of all: O(fields), not O(columns)."""
    if dtype.names is None:
        one = not kinds or dtype.base.kind in kinds
        return (one if dtype.base.names is None else width(dtype.base, kinds)) * math.prod(dtype.shape)
    return sum(width(dtype[key], kinds) for key in dtype.names)


def columns(items: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Views of the items by the names of their columns, each of one dimension."""
    return {column.name: column.of(items) for column in columns_of(np.dtype((items.dtype, items.shape[1:])))}


def texts(column: NDArray[Any], raw: bool = False) -> list[Any]:
    """The values as text, or as numbers that Python prints with as many digits as tell them apart.

    Parameters
    ----------
    column : ndarray
        Of one dimension.
    raw : bool
        Strings as they are, and bytes so that an output with the error handler "surrogateescape" writes them as they
        are. By default both are escaped as `cell` does, and bytes that are no UTF-8 too.

    Returns
    -------
    list
        Times in ISO 8601 (UTC) as far as their unit goes, and one that is too far away as ``1970 +12 W``. Durations
        as numbers of their unit, also where that is a multiple: 50 for two of ``m8[25s]``. A time without a
        unit as a number. Complex numbers as Python writes them. Unstructured bytes (``V``) in hexadecimal digits.
    """
    kind = column.dtype.kind
    found: list[Any]
    if kind == "M":
        found = _times(column)
    elif kind == "m":
        found = _durations(column)
    elif kind == "S":
        found = [value.decode("utf-8", "surrogateescape" if raw else "backslashreplace") for value in column.tolist()]
    elif kind == "U":
        found = _strings(column)
    elif kind == "V":
        found = [value.tobytes().hex() for value in column]
    elif kind in "fc" and column.dtype.newbyteorder("=") not in (np.float64, np.complex128):
        found = column.astype(str).tolist()  # as Python's floats they would have more digits
    else:
        found = column.tolist()
    return found if raw or kind not in "SU" else list(map(cell, found))


def in_units(column: NDArray[Any]) -> tuple[NDArray[np.int64], str, int]:
    """Times or durations as numbers, the unit that they count, and of how many units one is. NaT is `NAT`."""
    unit, count = np.datetime_data(column.dtype)
    return column.astype("i8"), unit, count


def _durations(column: NDArray[Any]) -> list[str]:
    numbers, _, count = in_units(column)
    return ["NaT" if number == NAT else str(number * count) for number in numbers.tolist()]


def _times(column: NDArray[Any]) -> list[str]:
    numbers, unit, count = in_units(column)
    if unit == "generic":
        return _durations(column)
    room = 2**63 - 1 - (1970 if unit == "Y" else 0)  # what numpy calculates with has 64 bits, and nobody checks it
    limit = room // (count * 7 if unit == "W" else count)
    is_far = (numbers != NAT) & ((numbers > limit) | (numbers < -limit))
    found: list[str] = np.datetime_as_string(np.where(is_far, np.datetime64("NaT"), column)).tolist()
    for i in np.flatnonzero(is_far).tolist():
        found[i] = f"1970 {int(numbers[i]) * count:+d} {unit}"
    return found


def _strings(column: NDArray[Any]) -> list[str]:
    codes = np.ascontiguousarray(column).view(np.dtype("u4").newbyteorder(column.dtype.byteorder))
    codes = codes.reshape(len(column), column.dtype.itemsize // 4)
    is_wrong = (codes > 0x10FFFF).any(axis=1)  # Python has no such characters, and numpy makes strings of them
    found: list[str] = np.where(is_wrong, "", column).tolist() if is_wrong.any() else column.tolist()
    for i in np.flatnonzero(is_wrong).tolist():
        known = np.trim_zeros(codes[i], "b").tolist()
        found[i] = "".join(chr(code) if code <= 0x10FFFF else f"\\U{code:08x}" for code in known)
    return [in_utf8(value) for value in found]


def rows(items: NDArray[Any], raw: bool = False) -> list[tuple[Any, ...]]:
    """The items as rows of text: O(items * columns). A last column says how many had no room."""
    found = [texts(column, raw) for column in columns(items).values()]
    left_out = width(np.dtype((items.dtype, items.shape[1:]))) - len(found)
    if left_out:
        found.append([f"… {left_out:,} more"] * len(items))
    return list(zip(*found, strict=True)) if found else [()] * len(items)
