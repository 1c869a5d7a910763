"""Full blocks of n, for the sink behind."""
from spill_ring.sinks.grouping cimport GroupingSink


cdef class BatchSink(GroupingSink):
    pass
