"""Which items a ``.npy`` file can hold: those whose dtype it gives back."""
import ast
from typing import Any

import numpy as np


def check_kept(dtype: np.dtype[Any]) -> None:
    """Refuse a dtype that a ``.npy`` file doesn't keep.

    Raises
    ------
    TypeError
        numpy would read another dtype, or none: it has no description of types that it doesn't know itself, of fields
        that overlap or are out of order, and of metadata.
    """
    if _has_metadata(dtype):
        raise TypeError(
            f"a .npy file doesn't keep the metadata of {dtype!r}; give the dtype without it, "
            "for instance np.dtype(dtype.str) of a scalar"
        )
    try:
        described = repr(np.lib.format.dtype_to_descr(dtype.base))
        found = np.lib.format.descr_to_dtype(ast.literal_eval(described))
    except (TypeError, ValueError) as error:
        raise TypeError(f"a .npy file can't hold items of {dtype!r}: {error}") from None
    if found != dtype.base:
        raise TypeError(
            f"a .npy file doesn't keep {dtype!r}: numpy would read {found!r}; give it the same bytes as a dtype of "
            "numpy's own, by items.view()"
        )


def _has_metadata(dtype: np.dtype[Any]) -> bool:
    if dtype.metadata:
        return True
    if dtype.subdtype is not None:
        return _has_metadata(dtype.base)
    return dtype.fields is not None and any(_has_metadata(field[0]) for field in dtype.fields.values())
