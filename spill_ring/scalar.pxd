from spill_ring._core.scalar cimport numeric, scalar_index
