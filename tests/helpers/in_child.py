"""What the children of test_background.py start with: `from helpers.in_child import *`."""

import faulthandler
import gc
import os
import signal
import sys
import threading
import time
import warnings
from queue import Full

import numpy as np

from spill_ring import *

faulthandler.dump_traceback_later(30, exit=True)


class Write(Sink):
    "Straight to the standard output, slowly."

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def send(self, items):
        time.sleep(self.seconds)
        os.write(1, b"".join(b"%d " % n for n in np.atleast_1d(items)))

    def flush(self):
        os.write(1, b"flush ")


class Fail(Sink):
    def send(self, items):
        raise OSError("disk full")


def fork():
    faulthandler.cancel_dump_traceback_later()  # a child would wait for its thread
    pid = os.fork()
    faulthandler.dump_traceback_later(30, exit=True)
    return pid


def interrupt(seconds):
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()


def interrupted(call, *args):
    try:
        call(*args)
    except KeyboardInterrupt:
        return True
