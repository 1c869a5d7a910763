"""Started by tests/interop/test_c_interface.py."""

import importlib.util
import sys
import time

spec = importlib.util.spec_from_file_location("pthread_client", sys.argv[1])
client = importlib.util.module_from_spec(spec)
spec.loader.exec_module(client)
from spill_ring import ArrayRing

ring = ArrayRing(100)
client.push_for_ever(ring.capsule)
while ring.stats.pushed < 100_000:
    time.sleep(0.001)
print("through")
