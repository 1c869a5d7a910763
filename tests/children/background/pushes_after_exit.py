"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *


class Late:
    def __init__(self, ring):
        self.ring, self.print = ring, lambda text, write=os.write: write(1, text.encode())

    def __del__(self):
        try:
            for n in range(4):
                self.ring.push(1.0)
        except RuntimeError as error:
            self.print(f"{len(self.ring)} {error}")


ring = ArrayRing(2, "f8", BackgroundSink(CollectSink(), 100))
ring.extend(range(5))
late = Late(ring)
