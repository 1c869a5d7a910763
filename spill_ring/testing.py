"""Tests for sinks of your own: `SinkTests` is what every sink promises, as tests that pytest runs.

Needs pytest: ``pip install "spill_ring[test]"``.
"""
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from spill_ring import ArrayRing, ObjectRing, Sink

__all__ = ["Fault", "ProbeSink", "SinkTests"]

_PATIENCE = 30.0  # seconds after which a test calls something stuck


class Fault(Exception):
    """What a sink under test is made to raise."""


class ProbeSink(Sink):
    """Keeps what it is sent, and misbehaves where a test asks for it.

    Attributes
    ----------
    items : list
        What it has taken, in order.
    before_item : callable or None
        Called before each item is taken, from inside of `send`. What it raises, `send` raises, and the item and those
        after it are not taken.
    takes_part : bool
        Whether an error in the midst of a block leaves the items before it taken. If not, none of the block is.
    portions : list of int
        How many items the next calls of `send` take at most, one number a call; later ones take all.
    was_attached : bool
        Whether something sends here as to a sink, and so has to close this one too.

    Notes
    -----
    **Thread safety.** Any number of threads.

    >>> probe = ProbeSink()
    >>> ring = ArrayRing(2, "i8", sink=probe)
    >>> ring.extend([1, 2, 3, 4])
    >>> [int(item) for item in probe.items]
    [1, 2]
    """

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.before_item: Callable[[], object] | None = None
        self.takes_part = True
        self.portions: list[int] = []
        self.was_attached = False

    def attached(self, dtype: np.dtype[Any] | None, /) -> None:
        self.was_attached = True

    def send(self, items: Any, /) -> int | None:
        """Take a block or an object, item by item. Returns how many it took, or None for all."""
        block = list(items) if isinstance(items, np.ndarray) else [items]
        most = min(self.portions.pop(0), len(block)) if self.portions else None
        taken: list[Any] = []
        try:
            for item in block[:most]:
                if self.before_item is not None:
                    self.before_item()
                taken.append(item)
        except BaseException as error:
            if not self.takes_part:
                taken.clear()
            error.n_taken = len(taken)  # type: ignore[attr-defined]
            raise
        finally:
            self.items += taken
        return most


class SinkTests:
    """What every sink promises, as tests: subclass it, say how to make your sink, and run pytest.

    The tests push through a ring of three items in front of the sink, by any mix of calls, make the sink fail where it
    can, and compare what it received with what was pushed.

    Attributes
    ----------
    dtype : numpy.dtype
        Of the items behind a typed ring.
    takes_typed, takes_objects : bool
        Which rings may send to the sink. A ring of the other kind must be refused with `TypeError`.
    takes_any_dtype : bool
        Whether one sink may have rings of several dtypes at once. If not, a second dtype must be a `TypeError`.
    can_fail : bool
        Whether the sink can fail: where it never does, `before_item` isn't called.
    takes_part : bool
        Whether a sink that fails in the midst of a block may have taken a part of it.
    threads : {"in turn", "refused", "served"}
        What two threads may do: send in turn only, which the sink doesn't check; or at any time, and the sink either
        refuses the second with `RuntimeError` or serves both.
    writes_outside : bool
        Whether the items go to something that a forked child shares, such as a file. The child then doesn't send.

    Notes
    -----
    Say by the attributes what the sink does by design, and by `expected` what becomes of the items: a sink that keeps
    every other one returns ``items[::2]``. Items have to be recognised, so each is a number, or behind a ring of
    objects the text of one; `make_items` makes others. A test that your sink can't pass by design is left out by
    ``test_… = None`` in the class, with the reason.

    >>> class LastOnly(Sink):
    ...     def __init__(self):
    ...         self.last = []
    ...     def send(self, items):
    ...         self.last = [items[-1]]
    >>> class TestLastOnly(SinkTests):
    ...     takes_objects = False
    ...     can_fail = False
    ...     def make(self, folder, probe):
    ...         return LastOnly()
    ...     def received(self, sink):
    ...         return sink.last
    ...     def expected(self, items):
    ...         return items[-1:]

    A sink that refuses rings of objects says so in ``attached``; this one forgot, and a test would tell.
    """

    dtype: Any = np.dtype("f8")
    takes_typed: bool = True
    takes_objects: bool = True
    takes_any_dtype: bool = False
    can_fail: bool = True
    takes_part: bool = True
    threads: Literal["in turn", "refused", "served"] = "in turn"
    writes_outside: bool = False
    probe: ProbeSink

    # What a sink's author writes.

    def make(self, folder: Path, probe: ProbeSink) -> Any:
        """Make a sink.

        Parameters
        ----------
        folder : pathlib.Path
            An empty folder for the sink's files.
        probe : ProbeSink
            For a sink that sends on: the sink behind it. Others leave it alone.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no make(self, folder, probe)")

    def received(self, sink: Any) -> Any:
        """The items that the sink has received, oldest first. Asked after a flush, and after the sink was closed."""
        return self.probe.items

    def expected(self, items: list[Any]) -> list[Any]:
        """What `received` gives once the sink is closed, if it was sent `items`."""
        return items

    def before_item(self, sink: Any, function: Callable[[], object]) -> None:
        """Have the sink call `function` in its send, before it takes an item, and raise what that raises."""
        self.probe.before_item = function

    def make_items(self, start: int, stop: int, typed: bool) -> Any:
        """Items of these numbers, each another: an ndarray for a typed ring, else a list."""
        return np.arange(start, stop).astype(self.dtype) if typed else [str(number) for number in range(start, stop)]

    # What the tests stand on.

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test for the kinds of items that the sink takes."""
        if "typed" in metafunc.fixturenames:
            kinds = {"typed": self.takes_typed, "objects": self.takes_objects}
            found = [name for name, takes in kinds.items() if takes]
            metafunc.parametrize("typed", [name == "typed" for name in found], ids=found)

    @pytest.fixture
    def new_sink(self, tmp_path: Path) -> Iterator[Callable[[], Any]]:
        """Makes sinks, each with a folder and a probe of its own; closes those that a test left open."""
        made: list[tuple[Any, ProbeSink]] = []

        def make_another() -> Any:
            self.probe = ProbeSink()
            self.probe.takes_part = self.takes_part
            folder = tmp_path / f"sink {len(made)}"
            folder.mkdir()
            made.append((self.make(folder, self.probe), self.probe))
            return made[-1][0]

        yield make_another
        for sink, probe in made:
            probe.before_item = None
            if not sink.closed:
                sink.close()

    @pytest.fixture
    def sink(self, new_sink: Callable[[], Any]) -> Any:
        return new_sink()

    def _ring(self, sink: Any, typed: bool) -> Any:
        return ArrayRing(3, self.dtype, sink) if typed else ObjectRing(3, sink)

    def _comparable(self, items: Any, typed: bool) -> list[Any]:
        found: list[Any] = np.asarray(items).tolist() if typed else list(items)
        return found

    def _check_prefix(self, sink: Any, typed: bool, count: int) -> None:
        """Of a sink that is open: it may hold back some, and what is there is right."""
        found = self._comparable(self.received(sink), typed)
        assert found == self._wanted(count, typed)[: len(found)]

    def _check_all(self, sink: Any, typed: bool, count: int) -> None:
        assert self._comparable(self.received(sink), typed) == self._wanted(count, typed)

    def _wanted(self, count: int, typed: bool) -> list[Any]:
        return self._comparable(self.expected(list(self.make_items(0, count, typed))), typed)

    def _push(self, ring: Any, typed: bool, numbers: range, choose: random.Random) -> None:
        """Push by any mix of calls. After an error the ring's `stats` tell what is still with the caller."""
        done, errors = 0, 0
        while done < len(numbers):
            before = ring.stats.pushed
            start = numbers.start + done
            items = self.make_items(start, min(numbers.stop, start + choose.choice([1, 2, 5, 20])), typed)
            call = choose.choice(["push", "extend", "extend", "flush"])
            try:
                ring.flush() if call == "flush" else ring.push(items[0]) if call == "push" else ring.extend(items)
            except (Fault, BlockingIOError):
                errors += 1
                assert errors < 1000, "the sink goes on raising what it was made to raise once"
            done += ring.stats.pushed - before

    def _close(self, closable: Any) -> None:
        """Close, also where an error comes only now; closing again goes on."""
        for _ in range(20):
            try:
                closable.close()
                return
            except (Fault, BlockingIOError):
                assert not closable.closed, "closed, though its close() raised: what was held back is lost"
        raise AssertionError("close() goes on raising what it was made to raise once")

    # The contract.

    @pytest.mark.parametrize("seed", range(2))
    def test_every_item_arrives_once_and_in_order(self, sink: Any, typed: bool, seed: int) -> None:
        choose = random.Random(seed)
        with self._ring(sink, typed) as ring:
            self._push(ring, typed, range(0, 40), choose)
            ring.flush()
            self._check_prefix(sink, typed, 40)
            self._push(ring, typed, range(40, 60), choose)
        self._check_all(sink, typed, 60)
        assert ring.stats.pushed == ring.stats.spilled + ring.stats.dropped == 60

    def test_an_error_at_any_item_loses_and_doubles_nothing(self, new_sink: Callable[[], Any], typed: bool) -> None:
        for fault_at in range(16 if self.can_fail else 0):
            self._fail_at(new_sink(), typed, fault_at)

    def _fail_at(self, sink: Any, typed: bool, fault_at: int) -> None:
        """Push and close, with a sink that raises at one call and the next."""
        calls = 0

        def fail_twice() -> None:
            nonlocal calls
            calls += 1
            if calls - fault_at in (1, 2):
                raise Fault(f"at call {calls}")

        ring = self._ring(sink, typed)
        self.before_item(sink, fail_twice)
        self._push(ring, typed, range(40), random.Random(fault_at))
        self._close(ring)
        self._check_all(sink, typed, 40)
        assert ring.stats.spilled == 40
        if self._wanted(40, typed):
            assert calls, "the sink never called the function that before_item() gave it"

    def test_what_the_sink_behind_takes_in_part_or_not_at_all(self, sink: Any, typed: bool) -> None:
        ring = self._ring(sink, typed)
        if self.takes_part:  # else nobody hears what the probe's send returns
            self.probe.portions = [1, 0, 2, 0, 0, 3, 1, 1, 0, 5, 0]
        self._push(ring, typed, range(40), random.Random(0))
        self._close(ring)
        self._check_all(sink, typed, 40)
        assert ring.stats.pushed == ring.stats.spilled + ring.stats.dropped == 40

    def test_items_that_are_sent_by_hand(self, sink: Any, typed: bool) -> None:
        self._ring(sink, typed)  # which says what is to come
        items = self.make_items(0, 10, typed)
        for part in (items[:7], items[7:]) if typed else items:
            sink.send(part)
        sink.flush()
        sink.close()
        self._check_all(sink, typed, 10)

    def test_flush_may_come_at_any_time(self, sink: Any, typed: bool) -> None:
        sink.flush()
        ring = self._ring(sink, typed)
        sink.flush()
        ring.extend(self.make_items(0, 5, typed))
        ring.flush()
        sink.flush()
        self._check_prefix(sink, typed, 5)
        ring.close()
        self._check_all(sink, typed, 5)

    def test_to_close_again_does_nothing(self, sink: Any, typed: bool) -> None:
        ring = self._ring(sink, typed)
        ring.extend(self.make_items(0, 10, typed))
        assert not sink.closed
        for _ in range(2):
            ring.close()
            sink.close()
            assert sink.closed
            assert self.probe.closed or not self.probe.was_attached, "the sink behind was not closed"
            self._check_all(sink, typed, 10)

    def test_a_with_block_closes(self, sink: Any, typed: bool) -> None:
        with sink as entered:
            assert entered is sink
            ring = self._ring(sink, typed)
            ring.extend(self.make_items(0, 10, typed))
            ring.flush()
        assert sink.closed
        self._check_all(sink, typed, 10)

    def test_a_closed_sink_refuses(self, sink: Any, typed: bool) -> None:
        ring = self._ring(sink, typed)
        ring.extend(self.make_items(0, 10, typed))
        ring.flush()
        ring.extend(self.make_items(10, 13, typed))
        sink.close()
        items = self.make_items(13, 14, typed)
        calls: list[Callable[[], object]] = [
            lambda: ring.push(items[0]),
            lambda: ring.extend(items),
            lambda: self._ring(sink, typed),
        ]
        for call in calls:
            with pytest.raises(ValueError, match="closed"):
                call()
        assert len(ring) == 3 and ring.stats.pushed == 13
        self._check_all(sink, typed, 10)
        ring.clear()

    def test_what_it_takes(self, sink: Any) -> None:
        for typed, takes in ((True, self.takes_typed), (False, self.takes_objects)):
            if not takes:
                with pytest.raises(TypeError):
                    self._ring(sink, typed)

    def test_a_second_dtype_is_refused(self, sink: Any, typed: bool) -> None:
        self._ring(sink, typed)
        for second in ("i2", "S5", None if typed else "u1"):
            if self.takes_any_dtype:
                ArrayRing(3, second, sink) if second else ObjectRing(3, sink)
            else:
                with pytest.raises(TypeError):
                    ArrayRing(3, second, sink) if second else ObjectRing(3, sink)

    @pytest.mark.parametrize("call", ["push", "send", "flush"])
    def test_a_call_from_inside_is_refused_or_harmless(self, sink: Any, typed: bool, call: str) -> None:
        ring = self._ring(sink, typed)
        item = self.make_items(999, 1000, typed)
        me = threading.get_ident()
        unwanted = []

        def call_back() -> None:
            # In another thread it would be no call from inside.
            is_refused = threading.get_ident() == me and (call == "push" or self.threads == "refused")
            try:
                if call == "flush":
                    sink.flush()  # harmless, where it isn't refused
                elif is_refused:
                    ring.push(item[0]) if call == "push" else sink.send(item if typed else item[0])
                    unwanted.append(call)
            except RuntimeError:
                pass

        if self.can_fail:
            self.before_item(sink, call_back)
        ring.extend(self.make_items(0, 2, typed))
        ring.extend(self.make_items(2, 9, typed))
        ring.push(self.make_items(9, 10, typed)[0])
        ring.close()
        assert not unwanted
        self._check_all(sink, typed, 10)

    def test_two_threads(self, sink: Any, typed: bool) -> None:
        barrier = threading.Barrier(2)
        lock = threading.Lock()
        rings = [self._ring(sink, typed) for _ in range(2)]
        failures: list[BaseException] = []

        def push(number: int) -> None:
            try:
                if self.threads != "in turn":
                    barrier.wait(_PATIENCE)
                for start in range(1000 * number, 1000 * number + 300, 3):
                    items = self.make_items(start, start + 3, typed)
                    if self.threads == "in turn":
                        with lock:
                            rings[number].extend(items)
                    else:
                        self._extend_beside_another(rings[number], items)
            except BaseException as error:
                failures.append(error)

        pushing = [threading.Thread(target=push, args=(number,)) for number in range(2)]
        for thread in pushing:
            thread.start()
        for thread in pushing:
            thread.join(_PATIENCE)
            assert not thread.is_alive(), "a thread is stuck"
        assert not failures, failures
        for ring in rings:
            ring.close()
        self._check_two(self._comparable(self.received(sink), typed), typed)

    def _extend_beside_another(self, ring: Any, items: Any) -> None:
        """Extend; a sink that refuses a second thread has then taken nothing that the ring doesn't count."""
        end = time.monotonic() + _PATIENCE
        done = 0
        while done < len(items):
            before = ring.stats.pushed
            try:
                ring.extend(items[done:])
            except RuntimeError:
                assert self.threads == "refused" and time.monotonic() < end
                time.sleep(0)
            done += ring.stats.pushed - before

    def _check_two(self, found: list[Any], typed: bool) -> None:
        """Each thread's items arrived once and in order, however the two were mixed."""
        parts = [self._comparable(self.make_items(start, start + 300, typed), typed) for start in (0, 1000)]
        if self.expected(list(range(4))) != list(range(4)):  # a sink that changes them
            assert len(found) == len(self.expected(parts[0] + parts[1]))
            return
        assert sorted(found) == sorted(parts[0] + parts[1])
        for part in parts:
            assert [item for item in found if item in set(part)] == part

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
    def test_a_forked_child_neither_hangs_nor_doubles(self, sink: Any, typed: bool) -> None:
        ring = self._ring(sink, typed)
        ring.extend(self.make_items(0, 10, typed))
        ring.flush()
        self._in_child(lambda: self._use_in_child(ring, sink, typed))
        ring.extend(self.make_items(10, 20, typed))
        ring.close()
        self._check_all(sink, typed, 20)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
    def test_a_fork_beside_a_thread_that_sends(self, sink: Any, typed: bool) -> None:
        if self.writes_outside or not getattr(sys, "_is_gil_enabled", lambda: True)():
            return  # without the GIL the child may find CPython's own locks taken
        ring, other = self._ring(sink, typed), self._ring(sink, typed)
        stopped = threading.Event()

        def push() -> None:
            while not stopped.is_set():
                other.extend(self.make_items(0, 10, typed))

        thread = threading.Thread(target=push)
        thread.start()
        try:
            for _ in range(3):
                self._in_child(lambda: self._use_in_child(ring, sink, typed))
        finally:
            stopped.set()
            thread.join(_PATIENCE)
        assert not thread.is_alive()

    def _use_in_child(self, ring: Any, sink: Any, typed: bool) -> None:
        """The child may be refused, but not be kept waiting."""
        calls: list[Callable[[], object]] = [ring.close, sink.close]
        if not self.writes_outside:
            calls.insert(0, lambda: ring.extend(self.make_items(0, 10, typed)))
        for call in calls:
            try:
                call()
            except Exception:
                pass

    def _in_child(self, work: Callable[[], object]) -> None:
        with warnings.catch_warnings(action="ignore"):  # of a fork beside threads
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    work()
                    status = 0
                finally:
                    os._exit(status)
        end = time.monotonic() + _PATIENCE
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise AssertionError("a forked child is stuck in the sink")
            time.sleep(0.005)
        assert ended[1] == 0, f"a forked child ended with status {os.waitstatus_to_exitcode(ended[1])}"
