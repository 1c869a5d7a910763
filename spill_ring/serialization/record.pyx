"""Records: a dataclass as a dtype, and its instances as items."""
cimport numpy as cnp

from spill_ring._core.block cimport new_block
from spill_ring._core.conversion cimport as_block, store_item
from spill_ring.serialization.composite cimport DataclassPlan, dataclass_plan
from spill_ring.serialization.plan cimport Plan

import dataclasses

import numpy as np

cnp.import_array()


def record(cls, /):
    """Give a dataclass a structured dtype, so that typed rings hold its instances as raw bytes.

    Put it above ``@dataclass``, which may be frozen, have slots, defaults and a base class. The class gets the
    attribute ``dtype``, packed and in this machine's byte order, and can be used wherever a dtype can. A typed ring
    that is made with the class takes its instances as well as what numpy takes, and returns instances where it returns
    single items; blocks, views and the items that sinks get are ndarrays of the dtype.

    Parameters
    ----------
    cls : class
        Its fields are annotated with numpy's scalar types (``np.int32``), ``bool``, ``int`` (8 bytes),
        ``float`` (8 bytes), other records, or ``Annotated[what you hold, dtype]``: ``Annotated[bytes, "S16"]``,
        ``Annotated[str, "U8"]``, ``Annotated[np.ndarray, ("f4", (8,))]``, ``Annotated[np.datetime64, "M8[ns]"]``.

    Returns
    -------
    class
        The same one.

    Raises
    ------
    TypeError
        The class is no dataclass, has no fields, or has a field of no fixed size, which the message names.

    Notes
    -----
    A field is checked when an item is pushed: a number out of range is an `OverflowError`, text that is too
    long a `ValueError`. An instance that a ring returns is made as unpickling makes it, without ``__init__``.
    **Thread safety.** Any number of threads.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @record
    ... @dataclass
    ... class Tick:
    ...     time: int
    ...     price: np.float32
    >>> ring = ArrayRing(100, Tick)
    >>> ring.push(Tick(1, 2.5))
    >>> ring.view()["price"]
    array([2.5], dtype=float32)
    >>> ring.pop()
    Tick(time=1, price=np.float32(2.5))
    """
    cdef DataclassPlan made
    cdef Plan plan
    if not isinstance(cls, type) or "__dataclass_fields__" not in vars(cls):
        raise TypeError(f"@record goes above @dataclass, and {cls!r} is no dataclass itself")
    if "dtype" in vars(cls) or any(field.name == "dtype" for field in dataclasses.fields(cls)):
        raise TypeError(f"{cls.__name__}.dtype is to be the record's dtype: give what is there another name")
    made = dataclass_plan(cls)
    for name, plan in zip(made.names, made.plans):
        if plan.dtype is None:
            raise TypeError(
                f"field {name!r} of {cls.__name__} is {plan.type}, which has no fixed size in an array: annotate it "
                "with one of numpy's scalar types, bool, int, float, a record, or Annotated[T, dtype], as in "
                "Annotated[str, 'U8'] or Annotated[np.ndarray, ('f4', (8,))]"
            )
    if not made.names:
        raise TypeError(f"{cls.__name__} has no fields")
    made.dtype = np.dtype([(name, plan.dtype) for name, plan in zip(made.names, made.plans)])
    cls.dtype = made.dtype
    cls.__record__ = made
    return cls


cdef object record_of(object given):
    found = getattr(given, "__record__", None) if isinstance(given, type) else None
    if not isinstance(found, DataclassPlan):
        return None
    if (<DataclassPlan>found).type is not given:
        raise TypeError(f"{given.__name__} is not a record itself, as its base is: put @record and @dataclass above it")
    return found


cdef int pack_into(DataclassPlan record, object item, char *out) except -1:
    if type(item) is not record.type:
        if dataclasses.is_dataclass(item):
            name = record.type.__name__
            raise TypeError(f"expected a {name}, a tuple or one of numpy's records, not {item!r}")
        return store_item(item, record.dtype, out)
    return record.store(item, out)


cdef cnp.ndarray pack_many(DataclassPlan record, object items):
    cdef cnp.ndarray block
    cdef Py_ssize_t i
    cdef tuple given
    if not isinstance(items, (list, tuple)) or not any([type(item) is record.type for item in items]):
        return as_block(items, record.dtype)
    given = tuple(items)
    block = new_block(record.dtype, len(given))
    for i in range(len(given)):
        pack_into(record, given[i], <char *>cnp.PyArray_DATA(block) + i * record.size)
    return block
