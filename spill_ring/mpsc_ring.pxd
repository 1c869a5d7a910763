from spill_ring.threads.mpsc cimport MpscRing
