"""Started by tests/threads/test_background_end.py."""

import ctypes

from helpers.in_child import *

libc = ctypes.CDLL(None)
libc.on_exit(libc.sleep, None)  # gets the exit status
sinks = []
for _ in range(20):
    if sys.argv[1] == "None":
        sinks.append(BackgroundSink(CollectSink(), 4))
        sinks[-1].send("a")
    else:
        threading.Thread(target=eval(sys.argv[1]), daemon=True).start()
    time.sleep(0.005)
sys.exit(1)
