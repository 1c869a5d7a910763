from spill_ring.threads.background cimport BackgroundSink
