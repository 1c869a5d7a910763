"""Started by tests/interop/test_c_interface.py."""

import importlib.util
import resource
import sys

spec = importlib.util.spec_from_file_location("pthread_client", sys.argv[1])
client = importlib.util.module_from_spec(spec)
spec.loader.exec_module(client)
from spill_ring import ArrayRing, CollectSink

ring = ArrayRing(4096, sink=CollectSink())
capsule = ring.capsule
sys.unraisablehook = lambda unraisable: print(type(unraisable.exc_value).__name__)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (300 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
code, pushed = client.push_numbers(capsule, 0, 100_000_000, 4096)
stats = ring.stats
print(code, pushed > 4096, stats.pushed == pushed == stats.spilled + 4096 == len(ring.sink) + 4096)
ring.pop_many()
