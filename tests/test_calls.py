"""Every call of every class, with anything: `$SPILL_RING_FUZZ_SECONDS` says how long, 2 seconds without it."""
import os
import random

import pytest

from helpers.children import complete_child

SECONDS = float(os.environ.get("SPILL_RING_FUZZ_SECONDS", "2"))


@pytest.mark.slow
def test_no_call_crashes_or_hangs():
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)  # shown where it fails
    done = complete_child("misuse/every_call", seed, SECONDS, timeout=SECONDS + 300)
    assert int(done.stdout.split()[-1]) > 50 * SECONDS
