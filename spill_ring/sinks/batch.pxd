"""Blocks of n items each, for the target."""
from spill_ring.sinks.grouping cimport GroupingSink


cdef class BatchSink(GroupingSink):
    pass
