from typing_extensions import disjoint_base

from spill_ring._core.sink import Sink

@disjoint_base
class LendingSink(Sink): ...
