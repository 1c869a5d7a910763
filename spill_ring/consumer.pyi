from collections.abc import Iterator
from typing import Any, final

from typing_extensions import disjoint_base

@final
@disjoint_base
class Consumer: ...

def iter_blocks(ring: Any, n: int, /) -> Iterator[Any]: ...
