from spill_ring.threads.spsc cimport SpscRing
