from collections.abc import Iterator
from typing import Any, Never

from typing_extensions import disjoint_base

@disjoint_base
class ConsumerMethods:
    def __init__(self, *args: Never, **kwargs: Never) -> None: ...

def iter_blocks(ring: Any, n: int, /) -> Iterator[Any]: ...
