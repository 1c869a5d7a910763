"""Dataclasses as items of typed rings: what a ring asks, with `record` None where its items are numpy's own."""
cimport numpy as cnp

from spill_ring.block cimport as_block, as_item, item_of
from spill_ring.serialize cimport Dataclass


# Of what was given as a dtype: None if it is no record.
cdef Dataclass record_of(object given)

cdef cnp.ndarray pack(Dataclass record, object item)
cdef cnp.ndarray pack_many(Dataclass record, object items)


cdef inline object load_item(Dataclass record, cnp.dtype dtype, const void *item):
    """A copy of one item: an instance of the record's class, or numpy's."""
    return item_of(dtype, item) if record is None else record.load(<const char *>item)


cdef inline cnp.ndarray item_block(Dataclass record, object item, cnp.dtype dtype):
    """`as_item`, which here takes instances too."""
    return as_item(item, dtype) if record is None else pack(record, item)


cdef inline cnp.ndarray items_block(Dataclass record, object items, cnp.dtype dtype):
    """`as_block`, likewise."""
    return as_block(items, dtype) if record is None else pack_many(record, items)
