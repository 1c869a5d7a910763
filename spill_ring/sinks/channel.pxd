"""A queue as a sink, for a consumer in another thread."""
from spill_ring.sinks.function cimport FnSink


cdef class ChannelSink(FnSink):
    cdef object queue
