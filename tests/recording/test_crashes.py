"""Signals, kill -9 and errors of the system at every call: nothing that was taken is lost."""
import errno
import itertools
import os
import random
import subprocess
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers.children import command, run_child
from helpers.recordings import STEP, check_resumed, numbers, read_all
from spill_ring import DiskSink, SpillLog

pytestmark = pytest.mark.not_sanitized


def test_a_signal_between_a_header_and_its_accounting(tmp_path, monkeypatch):
    """What was sent then was not taken: nothing of it is left, and the recording is whole."""
    pwrite = os.pwrite
    with DiskSink(tmp_path, sync="always") as sink:
        sink.send(numbers(0, 5))

        def interrupted(fd, data, offset):
            pwrite(fd, data, offset)
            if offset == 0:
                monkeypatch.undo()
                raise KeyboardInterrupt
            return len(data)

        monkeypatch.setattr(os, "pwrite", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sink.send(numbers(5, 9))
        assert sink.count == 5 and SpillLog(tmp_path).verify() == [] and SpillLog(tmp_path).end == 5
    assert read_all(tmp_path).tolist() == list(range(5))


@pytest.mark.slow
def test_signals_at_any_moment(tmp_path):
    """A timer's handler raises, again and again, wherever it comes: what was taken is there, and nothing else."""
    for sync in ("always", "interval"):
        run_child("recording/send_between_signals", tmp_path / sync, sync)


CALLS = ["pwrite64", "fdatasync", "fsync", "rename", "mkdir"]


def injected(folder, kind, sync, call, what, when):
    """A recorder under strace, which counts in each thread by itself; gives its status, and the words that it wrote."""
    strace = ["strace", "-f", "-qqq", "-e", "signal=none", "-o", "/dev/null", "-e", f"trace={call}",
              "-e", f"inject={call}:{what}:when={when}"]
    recorder = command("recording/record_in_spite_of_errors", folder, kind, sync, options=("-B",))
    done = subprocess.run(strace + recorder, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout.split(), done.stderr


def injected_at_each(folder, kind, sync, call, what):
    """The same at every call of a kind, each in a folder of its own, for as long as it is asked for."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for begin in itertools.count(1, AT_ONCE * STEP):
            moments = range(begin, begin + AT_ONCE * STEP, STEP)
            folders = [str(folder / f"{call}{when}") for when in moments]
            runs = [pool.submit(injected, folders[i], kind, sync, call, what, moments[i]) for i in range(AT_ONCE)]
            for when, path, run in zip(moments, folders, runs, strict=True):
                yield when, path, *run.result()


AT_ONCE = os.cpu_count() or 1
elsewhere = pytest.mark.thread_unsafe(reason="what is tested runs in processes of its own")


@pytest.mark.slow
@pytest.mark.tool("strace")
@elsewhere
@pytest.mark.parametrize("kind, sync", [("typed", "interval"), ("typed", "always"), ("objects", "interval")])
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_every_call(tmp_path, kind, sync, call):
    for _, folder, status, words, errors in injected_at_each(tmp_path, kind, sync, call, "signal=KILL"):
        if status == 0:
            assert len(read_all(folder)) == 30
            break
        assert status in (-9, 137), errors
        if os.path.exists(folder):
            check_resumed(folder, int(words[-1]) if words else 0, int if kind == "typed" else str)


@pytest.mark.slow
@elsewhere
def test_killed_at_any_moment(tmp_path):
    """By the clock; the same folder again and again."""
    rng = random.Random(5)
    count = 0
    for _ in range(10):
        recorder = command("recording/record_until_killed", tmp_path, count, options=("-W", "ignore"))
        with subprocess.Popen(recorder, stdout=subprocess.PIPE, text=True) as process:
            said = process.stdout.read(1)  # it is at work
            time.sleep(rng.random() * 0.05)
            process.kill()
            said += process.stdout.read()
        items = read_all(tmp_path)
        assert len(items) >= int(said.split(" ")[-2]) and (items == numbers(len(items))).all()  # the last may be torn
        count = len(items)
    assert count > 1000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_resumed(tmp_path, count)


@pytest.mark.slow
@pytest.mark.tool("strace")
@elsewhere
@pytest.mark.parametrize("kind, error", [("typed", "ENOSPC"), ("typed", "EIO"), ("typed", "EINTR"), ("objects", "EIO")])
def test_errors_at_every_call(tmp_path, kind, error):
    message = os.strerror(getattr(errno, error)).replace(" ", "_")
    calls = {"ENOSPC": ["pwrite64"], "EINTR": ["pwrite64", "fdatasync"], "EIO": CALLS[:-1]}  # each can fail by EIO
    for call in calls[error]:
        for when, folder, status, words, errors in injected_at_each(tmp_path, kind, "always", call, f"error={error}"):
            if status != 0:  # it couldn't even begin
                assert message.replace("_", " ") in errors and when <= 4, errors
                continue
            numbers_said = [int(word) for word in words if word != message]
            assert numbers_said[-1] == 30
            assert list(read_all(folder)) == [n if kind == "typed" else str(n) for n in range(30)]
            if message not in words and error == "EIO":
                break
            if when > (20 if error == "EINTR" else 60):  # of these nothing may be said: it is tried again
                break
