"""Started by test_at_exit_a_daemon_that_is_inside of test_background.py."""

from helpers.in_child import *

sink = BackgroundSink(Write(0.05), 4)
threading.Thread(target=sink.send, args=(np.arange(30),), daemon=True).start()
while len(sink) < 4:
    time.sleep(0.001)
