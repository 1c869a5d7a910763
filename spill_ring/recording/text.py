"""Text in items: numpy keeps each character as a number, and not each number is one of a character of a `str`."""
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LAST = 0x10FFFF  # of Unicode's code points


def has_text(dtype: np.dtype[Any]) -> bool:
    """Have items of this dtype text in them?"""
    base = dtype.base
    if base.names is not None:
        return any(has_text(base[name]) for name in base.names)
    return base.kind == "U"


def not_unicode(items: NDArray[Any]) -> list[int]:
    """The indices of the items whose text has a character that can't be in a str. O(items)."""
    wrong = np.zeros(len(items), bool)
    for text in _texts(items):
        points = np.ascontiguousarray(text).reshape(-1).view(np.dtype("u4").newbyteorder(text.dtype.byteorder))
        wrong |= (points > _LAST).reshape(len(items), -1).any(1)
    return [int(n) for n in np.flatnonzero(wrong)]


def _texts(items: NDArray[Any]) -> Iterator[NDArray[Any]]:
    if items.dtype.names is not None:
        for name in items.dtype.names:
            yield from _texts(items[name])
    elif items.dtype.kind == "U" and items.dtype.itemsize:
        yield items
