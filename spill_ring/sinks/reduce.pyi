from collections.abc import Callable
from typing import Any, SupportsIndex

import numpy as np
from typing_extensions import disjoint_base

from spill_ring.sinks.grouping import GroupingSink
from spill_ring._core.sink import _SinkLike

@disjoint_base
class ReduceSink(GroupingSink):
    def __init__(self, n: SupportsIndex, reduce: np.ufunc | Callable[[Any], Any], sink: _SinkLike[Any]) -> None: ...
    @property
    def reduce(self) -> np.ufunc | Callable[[Any], Any]: ...
