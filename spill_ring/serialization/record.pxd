"""Dataclasses as items of typed rings: what a ring needs of them.

`record` is a `DataclassPlan`, or None for numpy's own items. It is passed as an object, so that the
declarations of rings, which users compile against, need no header of numpy's.
"""
cimport numpy as cnp

from spill_ring._core.block cimport item_of, new_block
from spill_ring._core.conversion cimport as_block, store_item
from spill_ring.serialization.composite cimport DataclassPlan


# The plan of what was given as a dtype; None if that is no record.
cdef object record_of(object given)

cdef enum:
    SMALL_ITEM = 32  # words of 8 bytes up to which an item is made on the stack, rather than in a block

cdef int pack_into(DataclassPlan record, object item, char *out) except -1
cdef cnp.ndarray pack_many(DataclassPlan record, object items)


cdef inline object load_item(object record, cnp.dtype dtype, const void *item):
    """A copy of one item: an instance of the record's class, or numpy's."""
    return item_of(dtype, item) if record is None else (<DataclassPlan>record).load(<const char *>item)


cdef inline int make_item(object record, object item, cnp.dtype dtype, char *out) except -1:
    """Like `store_item`, and takes instances too."""
    return store_item(item, dtype, out) if record is None else pack_into(<DataclassPlan>record, item, out)


cdef inline cnp.ndarray item_block(object record, object item, cnp.dtype dtype):
    """The same as a block."""
    cdef cnp.ndarray block = new_block(dtype, 1)
    make_item(record, item, dtype, <char *>cnp.PyArray_DATA(block))
    return block


cdef inline cnp.ndarray items_block(object record, object items, cnp.dtype dtype):
    """Like `as_block`, and takes instances too."""
    return as_block(items, dtype) if record is None else pack_many(<DataclassPlan>record, items)
