"""Waiting for a ring in an asyncio event loop: the producer's wake makes a descriptor readable."""
import asyncio
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from spill_ring.threads.parking import poll_interval

if TYPE_CHECKING:
    from spill_ring.threads.consumer_methods import ConsumerMethods

LOOK_AGAIN = 0.001  # seconds, where a loop can't wait for a descriptor: on Windows


async def wait_async(ring: "ConsumerMethods[Any, Any]", n: int) -> bool:
    """Wait until n items are there, or the ring is closed; whether they are."""
    loop = asyncio.get_running_loop()
    fd = ring._begin_wait(n)
    try:
        while not ring._request_wake(n):
            if fd < 0:
                await asyncio.sleep(LOOK_AGAIN)
                continue
            woken = loop.create_future()
            loop.add_reader(fd, finish, fd, woken)
            try:
                await asyncio.wait([woken], timeout=poll_interval())
            finally:
                loop.remove_reader(fd)
    finally:
        there = ring._end_wait(n)
    return there


def finish(fd: int, woken: asyncio.Future[None]) -> None:
    try:
        os.read(fd, 4096)
    except BlockingIOError:
        pass
    if not woken.done():
        woken.set_result(None)


async def async_blocks(ring: "ConsumerMethods[Any, Any]", n: int) -> AsyncIterator[Any]:
    """Blocks of up to n items, until the ring is closed and empty."""
    while True:
        block = ring.pop_many(n)
        if len(block):
            yield block
        elif not await wait_async(ring, 1):
            return
