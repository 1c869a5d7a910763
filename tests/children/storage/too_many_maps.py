"""Started by tests/_core/test_storage.py."""

from spill_ring import ArrayRing

rings = [ArrayRing(4) for _ in range(40_000)]  # two mappings each would be more than there are
kinds = {ring.view().base.kind for ring in (rings[0], rings[-1])}
for n, ring in enumerate(rings[::97]):
    ring.extend([n, n, n, n, n + 1])
    assert ring.view().tolist() == [n, n, n, n + 1]
print(sorted(kinds))
