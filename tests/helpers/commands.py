"""The command line as a user runs it: a process of its own."""
import subprocess
import sys
import time

# -P: what is installed, not what lies in the current folder
COMMAND = [sys.executable, "-P", "-m", "spill_ring"]
PATIENCE = 30  # seconds after which a test has failed; none waits for them to pass


def run(*args, **kwargs):
    kwargs = {"capture_output": True, "timeout": PATIENCE} | kwargs
    return subprocess.run([*COMMAND, *map(str, args)], check=False, **kwargs)


def start(*args, **kwargs):
    pipes = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE)
    return subprocess.Popen([*COMMAND, *map(str, args)], bufsize=0, **(pipes | kwargs))


def wait_for(true):
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "that never came"
        time.sleep(0.005)
