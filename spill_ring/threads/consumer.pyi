from collections.abc import Iterator
from typing import Any, final

@final
class Consumer: ...

def iter_blocks(ring: Any, n: int, /) -> Iterator[Any]: ...
