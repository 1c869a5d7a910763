from asyncio import Future
from collections.abc import AsyncIterator
from typing import Any

LOOK_AGAIN: float

async def wait_async(ring: Any, n: int) -> bool: ...
def finish(fd: int, woken: Future[None]) -> None: ...
def async_blocks(ring: Any, n: int) -> AsyncIterator[Any]: ...

LOOK_AGAIN: float
