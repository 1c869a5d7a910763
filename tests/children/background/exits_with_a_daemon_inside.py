"""Started by tests/threads/test_background_end.py."""

from helpers.in_child import *

sink = BackgroundSink(Write(0.05), 4)
threading.Thread(target=sink.send, args=(np.arange(30),), daemon=True).start()
while len(sink) < 4:
    time.sleep(0.001)
