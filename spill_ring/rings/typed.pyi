from typing_extensions import disjoint_base

from spill_ring.rings.base import Ring

@disjoint_base
class TypedRing(Ring): ...
