"""Locks a file until it is killed. Argument: path."""
import sys
import time

from spill_ring.recording.lock import FileLock

lock = FileLock(sys.argv[1])
print("locked", flush=True)
time.sleep(120)
