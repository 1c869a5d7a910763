"""An SpscRing in an event loop: waits that cost nothing, end with the stream, and can be cancelled."""
import asyncio
import gc
import os
import threading
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import spill_ring.threads.parking
from spill_ring import CollectSink, MpscRing, SpscRing

try:
    import uvloop
except ImportError:
    uvloop = None

RUNNERS = {"asyncio": asyncio.run, "debug": lambda main: asyncio.run(main, debug=True)}
if uvloop is not None:
    RUNNERS["uvloop"] = uvloop.run


@pytest.fixture(params=RUNNERS)
def run(request):
    """Runs a coroutine in a new loop; one that takes too long is an error."""
    return lambda main: RUNNERS[request.param](asyncio.wait_for(main, 30))


def later(call, *args):
    """Call it in another thread, when the loop waits already, as far as one can tell."""
    thread = threading.Thread(daemon=True, target=lambda: (time.sleep(0.02), call(*args)))
    thread.start()
    return thread


def open_files():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("dtype", [None, "f8"])
def test_a_push_ends_a_wait(run, dtype):
    ring = SpscRing(4, dtype)  # outside of any loop

    async def main():
        thread = later(ring.push, 1.0)
        assert await ring.wait_async() is True
        thread.join()
        assert ring.pop() == 1
        thread = later(ring.extend, [1.0, 2.0, 3.0])
        assert await ring.wait_async(3) is True
        thread.join()
        assert await ring.wait_async(2) is True and await ring.wait_async(0) is True

    run(main())
    ring.clear()
    run(main())  # and in another loop


def test_close_ends_a_wait(run):
    async def main():
        ring = SpscRing(4, sink=(sink := CollectSink()))
        thread = later(ring.close)
        assert await ring.wait_async(2) is False
        thread.join()
        assert sink.closed and ring.ended and await ring.wait_async() is False

    run(main())


@pytest.mark.parametrize("dtype", [None, "f8"])
@pytest.mark.parametrize("overflow", ["spill", "block"])
def test_blocks(run, dtype, overflow):
    ring = SpscRing(50, dtype, (sink := CollectSink()), overflow=overflow)

    def produce():
        for start in range(0, 2000, 20):
            ring.extend(np.arange(start, start + 20.0) if dtype else [float(n) for n in range(start, start + 20)])
        ring.close()

    async def main():
        thread = threading.Thread(daemon=True, target=produce)
        thread.start()
        got = []
        async for block in ring.ablocks(7):
            assert 0 < len(block) <= 7
            got.extend(block)
        thread.join()
        return got

    got = run(main())
    assert got == sorted(got) and sorted([*got, *sink.items]) == list(range(2000))
    assert ring.ended and sink.closed


def test_the_loop_goes_on_meanwhile(run):
    ring = SpscRing(4)

    async def main():
        waiting = asyncio.ensure_future(ring.wait_async())
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert not waiting.done()
        ring.push("by the loop's own thread")
        assert await waiting is True

    run(main())


def test_cancelling(run):
    ring = SpscRing(4)

    async def main():
        for _ in range(3):
            waiting = asyncio.ensure_future(ring.wait_async(2))
            await asyncio.sleep(0.001)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert ring.pop(None) is None  # the side is free again
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ring.wait_async(), 0.01)
        ring.push(1)
        assert await asyncio.wait_for(ring.wait_async(), 10) is True

    run(main())
    assert ring.pop() == 1


def test_one_consumer(run):
    ring = SpscRing(4)

    async def main():
        waiting = asyncio.ensure_future(ring.wait_async())
        await asyncio.sleep(0.001)
        for call in (ring.pop, ring.wait, ring.clear, lambda: ring.read().__enter__()):
            with pytest.raises(RuntimeError, match="in use"):
                call()
        with pytest.raises(RuntimeError, match="in use"):
            await ring.wait_async()
        with pytest.raises(RuntimeError, match="in use"):
            async for _ in ring.ablocks():
                pass
        ring.push(1)
        assert await waiting is True and ring.pop() == 1

    run(main())


def test_the_rings_of_one_mpsc_ring_share_a_wake(run):
    """So only one of them can be waited for in a loop."""
    async def main():
        many = MpscRing(8, producers=2)
        one, other = many.producers
        first = asyncio.create_task(one.wait_async())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already"):
            await other.wait_async()
        with pytest.raises(RuntimeError, match="in use"):
            await many.wait_async()
        later(one.push, 1)
        assert await first
        later(other.push, 2)
        assert await other.wait_async() and await many.wait_async(2)
        assert many.pop_many() == [1, 2]

    run(main())


def test_misuse(run):
    ring = SpscRing(4)

    async def main():
        for n, error in ((5, ValueError), (-1, ValueError), ("1", TypeError), (None, TypeError)):
            with pytest.raises(error):
                await ring.wait_async(n)
        with pytest.raises(ValueError, match="no items"):
            ring.ablocks(0)
        with pytest.raises(RuntimeError, match="never initialised"):
            await SpscRing.__new__(SpscRing).wait_async(0)
        ring.push(1)
        assert await ring.wait_async() is True

    run(main())
    wait = ring.wait_async()
    with pytest.raises(RuntimeError, match="loop"):
        wait.send(None)
    assert ring.pop() == 1


def test_leaving_blocks_early(run):
    ring = SpscRing(4)

    async def main():
        ring.extend([1, 2, 3])
        async for block in ring.ablocks(2):
            assert block == [1, 2]
            break
        assert ring.pop() == 3

    run(main())


@pytest.mark.slow
def test_a_coroutine_that_is_never_finished():
    """The loop ends, or is closed, while something waits in it."""
    ring = SpscRing(4)
    loop = asyncio.new_event_loop()
    wait = ring.wait_async()
    task = loop.create_task(wait)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    loop.close()
    task._log_destroy_pending = False
    del task
    wait.close()
    del wait
    gc.collect()
    ring.push(1)
    assert ring.pop() == 1

    async def leaves_a_task_behind():
        left.append(asyncio.ensure_future(ring.wait_async()))
        await asyncio.sleep(0.001)

    left = []
    asyncio.run(leaves_a_task_behind())
    ring.push(2)
    assert ring.pop() == 2
    with warnings.catch_warnings(action="ignore"):
        ring.wait_async()  # never awaited
        gc.collect()
    assert ring.pop(None) is None


def test_waiting_runs_nothing():
    """No polling: the loop sleeps until the push."""
    ring = SpscRing(4)

    async def main():
        loop = asyncio.get_running_loop()
        turns = 0
        select = loop._selector.select

        def counted(timeout):
            nonlocal turns
            turns += 1
            return select(timeout)

        loop._selector.select = counted
        thread = threading.Thread(daemon=True, target=lambda: (time.sleep(0.3), ring.push(1)))
        thread.start()
        assert await ring.wait_async() is True
        thread.join()
        return turns

    before = time.thread_time()
    turns = asyncio.run(main())
    assert turns < 10 and time.thread_time() - before < 0.15


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no /proc")
def test_no_file_is_left_open(run):
    async def main():
        ring = SpscRing(4)
        thread = later(ring.push, 1)
        await ring.wait_async()
        thread.join()

    run(main())
    gc.collect()
    before = open_files()
    for _ in range(3):
        run(main())
    gc.collect()
    assert open_files() <= before


def test_two_rings_in_one_loop(run):
    first, second = SpscRing(10, "i8", overflow="block"), SpscRing(5, "i8", overflow="block")

    async def pass_on():
        async for block in first.ablocks():
            for item in block:
                while not second.try_push(item):
                    await asyncio.sleep(0)
        second.close()

    async def total():
        return [int(n) async for block in second.ablocks(3) for n in block]

    async def main():
        thread = threading.Thread(daemon=True, target=lambda: (first.extend(np.arange(500)), first.close()))
        thread.start()
        _, got = await asyncio.gather(pass_on(), total())
        thread.join()
        return got

    assert run(main()) == list(range(500))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_loop_in_a_forked_child():
    ring = SpscRing(4)

    async def main():
        later(ring.push, 7)
        return await ring.wait_async() and ring.pop()

    assert asyncio.run(main()) == 7
    with warnings.catch_warnings(action="ignore"):  # 3.12 warns of forks beside threads
        child = os.fork()
    if child == 0:
        os._exit(0 if asyncio.run(asyncio.wait_for(main(), 20)) == 7 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert asyncio.run(main()) == 7


def test_where_loops_wait_for_no_descriptor(run, monkeypatch):
    """As on Windows: the loop looks again and again, and other tasks run meanwhile."""
    without = SimpleNamespace(name="nt", getpid=os.getpid, close=os.close)
    monkeypatch.setattr(spill_ring.threads.parking, "os", without)
    rings = SpscRing(8, "f8"), MpscRing(8, "f8", producers=2)

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(rings[0].wait_async(), 0.05)
        for ring, producer in (rings[0], rings[0]), (rings[1], rings[1].producers[1]):
            thread = later(lambda ring=ring, producer=producer: (producer.extend(np.arange(5.0)), ring.close()))
            assert [item async for block in ring.ablocks() for item in block] == [0, 1, 2, 3, 4]
            thread.join()

    before = open_files()
    run(main())
    assert open_files() == before
