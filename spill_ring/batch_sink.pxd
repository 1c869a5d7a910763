"""Full blocks of n, for the sink behind."""
from spill_ring.grouping_sink cimport GroupingSink


cdef class BatchSink(GroupingSink):
    pass
