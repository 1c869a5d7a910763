"""Items as named columns, one for each value in them, for a table, a plot or a line of text."""
from typing import Any

import numpy as np
from numpy.typing import NDArray


def columns(items: NDArray[Any], name: str = "") -> dict[str, NDArray[Any]]:
    """Views of the items, each of one dimension.

    Parameters
    ----------
    items : ndarray
        Scalars, records, sub-arrays, and those nested in each other.
    name : str
        The beginning of all names.

    Returns
    -------
    dict of str to ndarray
        ``value`` for scalars; the fields of records by their names, nested ones as ``position.x``; the elements of
        sub-arrays as ``value[0]``, ``field[1,2]``. O(columns), not O(items).

    >>> columns(np.zeros(5, [("time", "M8[us]"), ("position", "f4", (2,))])).keys()
    dict_keys(['time', 'position[0]', 'position[1]'])
    """
    found: dict[str, NDArray[Any]] = {}
    if items.ndim > 1:
        for index in np.ndindex(items.shape[1:]):
            found |= columns(items[:, *index], f"{name or 'value'}[{','.join(map(str, index))}]")
    elif items.dtype.names is None:
        found[name or "value"] = items
    else:
        for field in items.dtype.names:
            found |= columns(items[field], f"{name}.{field}" if name else field)
    return found


def texts(column: NDArray[Any]) -> list[Any]:
    """The values as text, or as numbers that Python prints with as many digits as tell them apart.

    Times are in ISO 8601 (UTC), durations are numbers of their unit, bytes are decoded as UTF-8 where they can be.
    """
    kind = column.dtype.kind
    found: list[Any]
    if kind == "M":
        found = np.datetime_as_string(column).tolist()
    elif kind == "S":
        found = [value.decode("utf-8", "backslashreplace") for value in column.tolist()]
    elif kind == "V":
        found = [value.tobytes().hex() for value in column]
    elif kind == "m":
        found = np.where(np.isnat(column), "NaT", column.astype("i8").astype(str)).tolist()
    elif kind in "fc" and column.dtype.newbyteorder("=") not in (np.float64, np.complex128):
        found = column.astype(str).tolist()  # as Python's floats they would have more digits
    else:
        found = column.tolist()
    return found


def rows(items: NDArray[Any]) -> list[tuple[Any, ...]]:
    """The items as rows of text: O(items * columns)."""
    return list(zip(*map(texts, columns(items).values()), strict=True))
