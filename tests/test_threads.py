"""Several threads where one is allowed, and where any number is: RuntimeError at worst, and each item in one place.

Nothing here waits for threads to meet, and everything holds if they never do. A Python with a GIL is made to
switch often; on a free-threaded one they run into each other all the time.
"""
import io
import queue
import random
import sys
import threading
from collections import Counter

import numpy as np
import pytest

from helpers.kinds import KINDS
from helpers.model import Boom
from spill_ring import (
    ArrayRing,
    BatchSink,
    ChannelSink,
    CollectSink,
    FileSink,
    FnSink,
    LockedSink,
    ObjectRing,
    ProducerSink,
    ReduceSink,
    Sink,
    TeeSink,
)
from spill_ring.sinks.npy import NpySink

THREADS = 4
TWO_KINDS = pytest.mark.parametrize("kind", KINDS[:2], ids=["objects", "f8"])


@pytest.fixture(autouse=True)
def switching():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(work, count=THREADS):
    """Call work(0), work(1), … in threads that begin together; what they return, in order."""
    gate = threading.Barrier(count)
    results, errors = [None] * count, []

    def run(i):
        try:
            gate.wait(30)
            results[i] = work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(daemon=True, target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
    return results


def tried(call, *args):
    """What a call returns; None where the ring was in use, or changed, which is all that it may say."""
    try:
        return call(*args)
    except RuntimeError as error:
        assert any(word in str(error) for word in ("in use", "open reserve", "changed", "no open"))
        return None


def numbers_of(thread):
    """Numbers that no other thread has; floats hold them."""
    n = thread * 10**9
    while True:
        yield n
        n += 1


def in_order(numbers):
    """Did those of each thread come in the order in which it pushed them?"""
    last = {}
    for n in numbers:
        if last.get(n // 10**9, -1) >= n:
            return False
        last[n // 10**9] = n
    return True


def adds_up(ring):
    stats = ring.stats
    return stats.pushed == stats.popped + stats.spilled + stats.dropped + len(ring) and min(stats) >= 0


@TWO_KINDS
@pytest.mark.parametrize("sinked", [True, False], ids=["sink", "dropping"])
def test_every_call_of_a_ring(kind, sinked):
    """One ring, and in each thread every call, at random."""
    sink = CollectSink() if sinked else None
    ring = kind.ring(7, sink)

    def work(i):
        rng, fresh = random.Random(i), numbers_of(i)
        pushed, popped = [], []
        for _ in range(6000):
            call = rng.randrange(16)
            count = rng.randrange(12)
            if call < 4:
                n = next(fresh)
                try:
                    ring.push(kind.item(n))
                    pushed.append(n)
                except RuntimeError:
                    pass
            elif call < 6:
                block = [next(fresh) for _ in range(count)]
                try:
                    ring.extend(kind.block(block))
                    pushed += block
                except RuntimeError:
                    pass
            elif call == 6:
                n = next(fresh)
                if tried(ring.try_push, kind.item(n)):
                    pushed.append(n)
            elif call == 7:
                block = [next(fresh) for _ in range(count)]
                pushed += block[: tried(ring.try_extend, kind.block(block)) or 0]
            elif call == 8:
                item = tried(ring.pop, None)
                if item is not None:
                    popped.append(kind.number(item))
            elif call == 9:
                taken = tried(ring.pop_many, count)
                if taken is not None:
                    popped += kind.numbers(taken)
            elif call == 10:
                mine = CollectSink()
                tried(ring.drain, mine)
                popped += kind.numbers(mine.items)
            elif call == 11 and kind.dtype is not None:
                block = [next(fresh) for _ in range(min(count, 7))]
                try:
                    with ring.reserve(len(block)) as room:
                        room[:] = block
                    pushed += block
                except RuntimeError:
                    pass
            elif call == 12:
                tried(ring.flush)
            elif call == 13:
                for look in (list, repr, lambda r: list(reversed(r)), lambda r: r[:3], lambda r: kind.item(3) in r):
                    tried(look, ring)
                tried(ring.latest, 3)
            else:
                assert 0 <= len(ring) <= 7
                assert isinstance(ring.is_full, bool) and isinstance(ring.is_empty, bool) and not ring.closed
                assert ring.stats.pushed >= 0 and ring.sink is sink and ring.capacity == 7
        return pushed, popped

    results = at_once(work)
    pushed = [n for done, _ in results for n in done]
    popped = [n for _, done in results for n in done]
    spilled = kind.numbers(sink.items) if sinked else []
    resident = kind.numbers(ring)
    assert ring.stats.pushed == len(pushed) and len(resident) == len(ring)
    assert adds_up(ring)
    found = Counter(popped + spilled + resident)
    assert not found - Counter(pushed)  # nothing twice, and nothing that nobody pushed
    missing = Counter(pushed) - found
    assert missing.total() == ring.stats.dropped and (not sinked or not missing)
    assert in_order(spilled) and in_order(resident) and all(in_order(done) for _, done in results)


@TWO_KINDS
def test_try_calls_never_evict(kind):
    ring = kind.ring(5)

    def work(i):
        rng = random.Random(i)
        for n in range(10_000):
            call = rng.randrange(3)
            if call == 0:
                tried(ring.try_push, kind.item(n))
            elif call == 1:
                tried(ring.try_extend, kind.block(range(rng.randrange(4))))
            else:
                tried(ring.pop_many, 2)

    at_once(work)
    assert ring.stats.dropped == 0 and adds_up(ring)

    item = kind.item(5)
    ring = kind.ring(1)

    def nothing_else(i):
        call = ring.try_push if i else ring.pop_many
        for _ in range(30_000):
            try:
                call(item) if i else call()
            except RuntimeError:
                pass

    at_once(nothing_else)
    assert ring.stats.dropped == 0 and adds_up(ring)


@TWO_KINDS
def test_nothing_but_pushes(kind):
    """The shortest way in looks whether there is room, and nobody may fill it between that and the store."""
    items = [kind.item(n) for n in range(THREADS * 4000)]
    for _ in range(20):
        sink = CollectSink()
        ring = kind.ring(2, sink)

        def work(i):
            count, push = 0, ring.push
            for item in items[i::THREADS]:
                try:
                    push(item)
                    count += 1
                except RuntimeError:
                    pass
            return count

        count = sum(at_once(work))
        got = kind.numbers(sink.items) + kind.numbers(ring)
        assert ring.stats == (count, 0, count - 2, 0) and len(set(got)) == len(got) == count


def test_clear_and_close_among_others():
    for kind in KINDS[:2]:
        for _ in range(10):
            sink = CollectSink()
            ring = kind.ring(4, sink)

            def work(i):
                for n in range(60):
                    try:
                        tried(ring.push, kind.item(n))
                        if n % 20 == 0:
                            tried(ring.clear)
                        if n == 50:
                            tried(ring.close)
                    except ValueError as error:
                        assert "closed" in str(error)

            at_once(work)
            tried(ring.close)
            assert ring.closed and sink.closed and len(ring) == 0 and adds_up(ring)
            assert len(sink) == ring.stats.spilled


def test_items_that_go_have_destructors():
    """What a ring drops is let go of once, and after the ring was left."""
    alive = []

    class Item:
        def __init__(self):
            alive.append(1)

        def __del__(self):
            alive.pop()
            tried(ring.push, None)

    ring = ObjectRing(3)

    def work(i):
        for n in range(3000):
            tried(ring.push, Item()) if n % 3 else tried(ring.extend, [Item() for _ in range(5)])
            if n % 50 == 0:
                tried(ring.clear)

    at_once(work)
    assert adds_up(ring)
    for _ in range(3):
        ring.extend([None] * 3)
    assert not alive


def test_commits_of_what_another_reserved():
    ring = ArrayRing(10, "i8", CollectSink())

    def work(i):
        rng = random.Random(i)
        for _ in range(6000):
            call = rng.randrange(4)
            if call == 0:
                tried(ring.commit, 0)
            elif call == 1:
                tried(ring.push, 7)
            else:
                try:
                    with ring.reserve(rng.randrange(11)) as block:
                        block[:] = 7
                        if call == 2:
                            ring.commit(len(block) // 2)
                except (RuntimeError, ValueError):
                    pass
            assert 0 <= len(ring) <= 10

    at_once(work)
    tried(ring.commit, 0)
    assert adds_up(ring) and len(ring.sink) == ring.stats.spilled
    ring.flush()


def test_a_reservation_ends_itself_alone():
    ring = ArrayRing(10, "i8")
    first, second = ring.reserve(2), ring.reserve(3)
    first.__enter__()[:] = 1
    ring.commit(2)
    second.__enter__()[:] = 2
    first.__exit__(None, None, None)
    with pytest.raises(RuntimeError, match="open reserve"):
        ring.pop()
    second.__exit__(None, None, None)
    assert ring.view().tolist() == [1, 1, 2, 2, 2]


@TWO_KINDS
def test_what_anyone_may_ask(kind):
    """Counts that another thread is moving are approximate, and no nonsense."""
    ring = kind.ring(2)
    item = kind.item(5)

    def work(i):
        for _ in range(20_000):
            if i == 0:
                tried(ring.push, item)
                tried(ring.pop, None)
            else:
                assert 0 <= len(ring) <= 2 and ring.is_full in (True, False) and len(ring.stats) == 4

    at_once(work)
    assert adds_up(ring)


@TWO_KINDS
def test_one_iterator_for_all(kind):
    for _ in range(20):
        ring = kind.ring(300)
        ring.extend(kind.block(range(300)))
        iterator = iter(ring)

        def work(i):
            got = []
            while True:
                try:
                    got.append(kind.number(next(iterator)))
                except StopIteration:
                    return got
                except RuntimeError as error:
                    assert "in use" in str(error)

        assert sorted(n for got in at_once(work) for n in got) == list(range(300))


class Locked(Sink):
    """A sink of the user's that any number of threads may call; of a block it takes a part, and says so."""

    def __init__(self):
        self.lock = threading.Lock()
        self.got = []

    def send(self, items):
        items = items.tolist() if isinstance(items, np.ndarray) else [items]
        taken = (sum(items) if isinstance(items[0], float) else items[0][1]) % (len(items) + 1)
        with self.lock:
            self.got += items[: int(taken)]
        if taken < len(items):
            raise Boom.after(int(taken))


SHARED = {
    "collect": lambda kind, end: end,
    "batch": lambda kind, end: BatchSink(3, end),
    "tee": lambda kind, end: TeeSink(end, CollectSink()),
    "ring": lambda kind, end: kind.ring(5, end),
    "producer": lambda kind, end: ProducerSink(lambda i: end),
    "locked": lambda kind, end: LockedSink(end),
    "locked batch": lambda kind, end: LockedSink(BatchSink(3, end)),
    "function": lambda kind, end: FnSink(LockedSink(end).send),
}


@pytest.mark.slow
@TWO_KINDS
@pytest.mark.parametrize("shape", SHARED)
def test_one_sink_for_several_rings(kind, shape):
    """Without a lock the second thread is refused and keeps its items; with one nobody is."""
    end = CollectSink()
    shared = SHARED[shape](kind, end)
    rings = at_once(lambda i: kind.ring(3, shared))  # attached at once, too

    def work(i):
        rng, ring = random.Random(i), rings[i]
        refused = 0
        for _ in range(2000):
            first = i * 10**9 + ring.stats.pushed
            try:
                if rng.random() < 0.5:
                    ring.push(kind.item(first))
                else:
                    ring.extend(kind.block(range(first, first + rng.randrange(12))))
                if rng.random() < 0.1:
                    ring.flush()
            except RuntimeError as error:
                assert "in use" in str(error)
                refused += 1
        return refused

    refused = at_once(work)
    if "locked" in shape or shape == "function":
        assert sum(refused) == 0
    for ring in rings:
        assert adds_up(ring)
        ring.close()
    if shape == "function":
        shared.close()
    assert shared.closed and (end.closed or shape == "function")
    got = kind.numbers(end.items)
    assert Counter(got) == Counter(i * 10**9 + n for i in range(THREADS) for n in range(rings[i].stats.pushed))
    assert in_order(got)


@TWO_KINDS
def test_took_is_of_the_thread_that_says_it(kind):
    shared = Locked()

    def work(i):
        ring = kind.ring(4, shared)
        for _ in range(2000):
            first = i * 10**9 + ring.stats.pushed
            try:
                ring.extend(kind.block(range(first, first + 3)))
            except Boom:
                pass
        left = kind.numbers(ring)
        pushed = ring.stats.pushed
        ring.clear()
        return pushed, left

    results = at_once(work)
    got = Counter(kind.numbers(shared.got))
    for _, left in results:
        got.update(left)
    assert got == Counter(i * 10**9 + n for i, (pushed, _) in enumerate(results) for n in range(pushed))


@pytest.mark.parametrize("lock", [LockedSink, lambda sink: sink], ids=["locked", "bare"])
def test_one_file_for_several_rings(lock):
    class Chokes(io.BytesIO):
        """Takes a part, or raises."""

        def write(self, data):
            if len(data) % 3 == 1:
                raise OSError
            return super().write(data[: max(1, len(data) // 2)])

    for make in (FileSink, NpySink):
        file = Chokes() if make is FileSink else io.BytesIO()
        sink = lock(make(file))
        rings = at_once(lambda i: tried(ArrayRing, 3, "i8", sink))

        def work(i):
            ring = rings[i]
            for _ in range(2000 if ring else 0):
                first = i * 10**9 + ring.stats.pushed
                try:
                    tried(ring.extend, np.arange(first, first + 5))
                    tried(ring.flush)
                except OSError:
                    pass

        at_once(work)
        file.write = lambda data: io.BytesIO.write(file, data)
        rings = [ring for ring in rings if ring]
        for ring in rings:
            ring.close()
        file.seek(0)
        got = np.load(file) if make is NpySink else np.frombuffer(file.getvalue(), "i8")
        pushed = {ring: ring.stats.pushed for ring in rings}
        assert len(got) == sum(pushed.values()) == sum(ring.stats.spilled for ring in rings)
        assert len(np.unique(got)) == len(got) and in_order(got.tolist())
        for ring in rings:
            ring.close()


def test_reduced_by_several():
    got, failing = [], True

    def end(block):
        if failing and random.random() < 0.2:
            raise Boom
        got.extend(block.tolist())

    shared = ReduceSink(4, np.add, LockedSink(end))
    rings = at_once(lambda i: ArrayRing(2, "i8", shared))

    def work(i):
        for _ in range(2000):
            for call in (lambda: rings[i].extend(np.ones(3, "i8")), shared.flush):  # which leaves what is no group
                try:
                    tried(call)
                except Boom:
                    pass

    at_once(work)
    assert set(got) <= {4}
    failing = False
    for ring in rings:
        ring.close()
    assert sum(got) == sum(ring.stats.pushed for ring in rings)


def test_a_channel_for_several_rings():
    channel = queue.SimpleQueue()
    shared = ChannelSink(channel)

    def work(i):
        with ObjectRing(2, shared) as ring:
            for n in range(500):
                ring.push(i * 10**9 + n)
            shared_users.wait(30)  # or the first to be through would close it

    shared_users = threading.Barrier(THREADS)
    at_once(work)
    got = [channel.get() for _ in range(500 * THREADS)]
    assert channel.empty() and in_order(got) and len(set(got)) == len(got) and shared.closed


def test_collected_while_it_is_taken():
    """`items` and `len` may be asked by anyone; who takes, takes all that there is, once."""
    for kind in KINDS[:2]:
        sink = CollectSink()
        ring = kind.ring(1, sink)

        def work(i):
            got = []
            for _ in range(3000):
                if i == 0:
                    tried(ring.push, kind.item(ring.stats.pushed))
                elif i == 1:
                    taken = tried(sink.take)
                    if taken is not None:
                        got += kind.numbers(taken)
                else:
                    tried(lambda: len(sink.items))
                    assert len(sink) >= 0 and repr(sink)
            return got

        got = [n for part in at_once(work) for n in part] + kind.numbers(sink.items)
        assert got == list(range(ring.stats.spilled))


@pytest.mark.slow
def test_attaching_and_closing():
    """A sink is `attached` once, open as long as anyone uses it, and closed once."""
    calls = Counter()

    class Counts(Sink):
        def __init__(self):
            self.got = []

        def attached(self, dtype):
            calls["attached"] += 1

        def send(self, items):
            self.got += items.tolist()

        def close(self):
            calls["close"] += 1
            super().close()

    for n in range(1, 31):
        end = Counts()
        shared = LockedSink(end)
        last = ArrayRing(1, "i8", end)

        def work(i):
            for m in range(5):
                with ArrayRing(1, "i8", LockedSink(shared)) as ring:
                    ring.extend([i, m])
                    together.wait(30)
            together.wait(30)

        together = threading.Barrier(THREADS)
        with ArrayRing(1, "i8", shared):
            at_once(work)
        assert shared.closed and not end.closed and len(end.got) == 10 * THREADS
        last.close()
        assert end.closed and calls == {"attached": n, "close": n}


def test_users_come_and_go():
    end = CollectSink()
    ring = ArrayRing(1, "i8", end)

    def work(i):
        for _ in range(5000):
            LockedSink(end).close()

    at_once(work)
    assert not end.closed
    ring.close()
    assert end.closed


@pytest.mark.parametrize("make", [LockedSink, TeeSink, lambda sink: BatchSink(2, sink), lambda sink: ProducerSink(
    lambda i: sink)], ids=["locked", "tee", "batch", "producer"])
def test_closing_from_every_thread(make):
    """Whoever closes: the sink behind loses one user by it, and not each time."""
    for _ in range(25):
        end = CollectSink()
        other = ArrayRing(1, "i8", end)
        sink = make(end)
        sink.send(np.arange(3, dtype="i8"))

        def work(i):
            try:
                tried(sink.close)
            except ValueError as error:
                assert "closed" in str(error)

        at_once(work)
        tried(sink.close)
        assert sink.closed and not end.closed and end.items.tolist() == [0, 1, 2]
        other.extend([7, 8])
        other.close()
        assert end.closed and end.items.tolist() == [0, 1, 2, 7, 8]


def test_initialising_from_every_thread():
    for _ in range(15):
        sinks = [CollectSink() for _ in range(THREADS)]
        for make, arguments in [
            (ObjectRing, lambda i: (i + 1, sinks[i])),
            (ArrayRing, lambda i: (i + 1, "f8", CollectSink())),
            (BatchSink, lambda i: (i + 1, CollectSink())),
            (TeeSink, lambda i: [CollectSink()] * (i + 1)),
            (LockedSink, lambda i: [CollectSink()]),
            (ProducerSink, lambda i: [lambda number: CollectSink()]),
            (FnSink, lambda i: [print]),
        ]:
            made = make.__new__(make)

            def work(i):
                try:
                    made.__init__(*arguments(i))
                except RuntimeError as error:
                    assert "already" in str(error)
                    return False
                finally:
                    tried(repr, made)
                return True

            assert sum(at_once(work)) == 1 and not made.closed


def test_binding_from_every_thread():
    """Rings of several dtypes, attached at once: one dtype it is, and the rest are refused."""
    dtypes = ["u1", "V1000", "f8", None]
    for make in (CollectSink, lambda: BatchSink(100, CollectSink()), lambda: LockedSink(CollectSink()),
                 lambda: TeeSink(CollectSink())):
        for _ in range(30):
            sink = make()

            def work(i):
                try:
                    ring = ObjectRing(1, sink) if dtypes[i] is None else ArrayRing(1, dtypes[i], sink)
                except TypeError:
                    return None
                tried(ring.extend, [0] * 50 if dtypes[i] is None else np.zeros(50, dtypes[i]))
                ring.clear()
                return ring

            assert sum(ring is not None for ring in at_once(work)) <= 1


def test_a_producer_has_one_sink():
    for _ in range(25):
        sink = ProducerSink(lambda i: CollectSink())
        ring = []

        def work(i):
            if i == 0:
                ring.append(ArrayRing(1, "i8", sink))
            return [sink.producer(n) for n in range(5)]

        first, *others = at_once(work)
        assert all(a is b for other in others for a, b in zip(first, other, strict=True))
        assert all(made.items.dtype == "i8" for made in first)  # bound, whoever was first


def test_memory_comes_and_goes(memory):
    def work(i):
        kept = []
        for n in range(300):
            ring = ArrayRing(100 + n, "i8")
            ring.extend(np.full(700, i))
            kept.append(ring.view())
            if n % 7 == 0:
                kept.clear()
            assert all((view == i).all() for view in kept)
        return {ring.view().base.kind}

    assert set.union(*at_once(work)) == {memory}
