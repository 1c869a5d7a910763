"""A sync fails, then the disk is full, and a reader has mapped the block. Argument: folder."""
import errno
import os
import sys

import numpy as np

from spill_ring import DiskSink, SpillLog

fdatasync, pwrite = os.fdatasync, os.pwrite
sink = DiskSink(sys.argv[1], sync="always")
sink.send(np.arange(5))
log = SpillLog(sys.argv[1])
def fail(fd):
    log.refresh(), log[-1]
    raise OSError(errno.EIO, "as the disk is")
def full(fd, data, offset):
    if len(data) < 1000:
        return pwrite(fd, data, offset)
    raise OSError(errno.ENOSPC, "no room")
for name, wrong, count in ("fdatasync", fail, 100_000), ("pwrite", full, 200):
    setattr(os, name, wrong)
    try:
        sink.send(np.arange(5, 5 + count))
    except OSError:
        pass
    os.fdatasync, os.pwrite = fdatasync, pwrite
assert log[5:100_005].tolist() == list(range(5, 100_005))
assert log.refresh() == sink.count == 205
sink.close()
assert SpillLog(sys.argv[1]).verify() == []
