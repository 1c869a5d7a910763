"""The way in for Cython: `from spill_ring cimport ArrayRing, Sink`."""
from spill_ring.array_ring cimport ArrayRing
from spill_ring.object_ring cimport ObjectRing
from spill_ring.sink cimport CollectSink, Sink, deliver, deliver_objects
