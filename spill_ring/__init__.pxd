"""The way in for Cython: `from spill_ring cimport ArrayRing, Sink`.

What needs a C header is not here, so that the rest compiles without an include folder:
`from spill_ring.spsc_ring cimport SpscRing`, with `spill_ring.get_include()`.
"""
from spill_ring.rings.array cimport ArrayRing
from spill_ring.sinks.collect cimport CollectSink
from spill_ring.rings.object cimport ObjectRing
from spill_ring._core.sink cimport Sink, deliver, deliver_objects
