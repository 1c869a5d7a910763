"""Items as named columns, one for each value in them: what a table, a plot or a line of text shows."""
from typing import Any

import numpy as np


def columns(items: np.ndarray, name: str = "") -> dict[str, np.ndarray]:
    """Views of the items, each of one dimension.

    Parameters
    ----------
    items : ndarray
        Scalars, records, sub-arrays, and what is made of them.
    name : str
        What all names begin with.

    Returns
    -------
    dict of str to ndarray
        ``value`` for scalars; the fields of records by their names, nested ones as ``position.x``; the elements of
        sub-arrays as ``value[0]``, ``field[1,2]``. O(columns), not O(items).

    >>> columns(np.zeros(5, [("time", "M8[us]"), ("position", "f4", (2,))])).keys()
    dict_keys(['time', 'position[0]', 'position[1]'])
    """
    found: dict[str, np.ndarray] = {}
    if items.ndim > 1:
        for index in np.ndindex(items.shape[1:]):
            found |= columns(items[:, *index], f"{name or 'value'}[{','.join(map(str, index))}]")
    elif items.dtype.names is None:
        found[name or "value"] = items
    else:
        for field in items.dtype.names:
            found |= columns(items[field], f"{name}.{field}" if name else field)
    return found


def texts(column: np.ndarray) -> list[Any]:
    """The values as text, or as numbers that Python prints with as many digits as tell them apart.

    Times are in ISO 8601 (UTC), durations are numbers of their unit, bytes are UTF-8 where they are.
    """
    kind = column.dtype.kind
    if kind == "M":
        return np.datetime_as_string(column).tolist()
    if kind == "S":
        return [value.decode("utf-8", "backslashreplace") for value in column.tolist()]
    if kind == "V":
        return [value.tobytes().hex() for value in column]
    if kind == "m":
        return np.where(np.isnat(column), "NaT", column.astype("i8").astype(str)).tolist()
    if kind in "fc" and column.dtype.newbyteorder("=") not in (np.float64, np.complex128):
        return column.astype(str).tolist()  # as Python's floats they would have more digits
    return column.tolist()


def rows(items: np.ndarray) -> list[tuple[Any, ...]]:
    """The items as rows of text: O(items * columns)."""
    return list(zip(*map(texts, columns(items).values()), strict=True))
