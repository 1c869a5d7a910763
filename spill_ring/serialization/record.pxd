"""Dataclasses as items of typed rings: what a ring needs of them.

`record` is a `DataclassPlan`, or None for numpy's own items. It is passed as an object, so that the
declarations of rings, which users compile against, need no header of numpy's.
"""
cimport numpy as cnp

from spill_ring._core.block cimport as_block, as_item, item_of
from spill_ring.serialization.composite cimport DataclassPlan


# The plan of what was given as a dtype; None if that is no record.
cdef object record_of(object given)

cdef cnp.ndarray pack(DataclassPlan record, object item)
cdef cnp.ndarray pack_many(DataclassPlan record, object items)


cdef inline object load_item(object record, cnp.dtype dtype, const void *item):
    """A copy of one item: an instance of the record's class, or numpy's."""
    return item_of(dtype, item) if record is None else (<DataclassPlan>record).load(<const char *>item)


cdef inline cnp.ndarray item_block(object record, object item, cnp.dtype dtype):
    """Like `as_item`, and takes instances too."""
    return as_item(item, dtype) if record is None else pack(<DataclassPlan>record, item)


cdef inline cnp.ndarray items_block(object record, object items, cnp.dtype dtype):
    """Like `as_block`, and takes instances too."""
    return as_block(items, dtype) if record is None else pack_many(<DataclassPlan>record, items)
