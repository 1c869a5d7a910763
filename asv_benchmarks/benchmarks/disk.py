"""A recording on disk, beside plain writes of the same bytes with the same syncs."""
import os
import shutil
import tempfile
import time

import numpy as np

from spill_ring import ArrayRing, BackgroundSink, DiskSink, DropSink, SpillLog

BLOCK = np.arange(8192.0)  # 64 KiB
SUSTAINED = 32_768  # blocks: 2 GiB, for which the disk is the limit
BURST = 1024  # blocks: 64 MiB, for which there is memory
INTERVAL = 1.0  # seconds


def plain(folder, total):
    """Seconds for os.write of so many blocks, with fdatasync after each interval."""
    fd = os.open(os.path.join(folder, "plain"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    begin = synced = time.perf_counter()
    for _ in range(total):
        os.write(fd, BLOCK)
        if time.perf_counter() - synced >= INTERVAL:
            os.fdatasync(fd)
            synced = time.perf_counter()
    os.fdatasync(fd)
    os.close(fd)
    return time.perf_counter() - begin


def recorded(folder, total):
    """Seconds for the same through a ring into a DiskSink."""
    ring = ArrayRing(len(BLOCK), sink=DiskSink(os.path.join(folder, "log"), interval=INTERVAL))
    begin = time.perf_counter()
    for _ in range(total + 1):
        ring.extend(BLOCK)
    ring.sink.flush()
    seconds = time.perf_counter() - begin
    ring.close()
    return seconds


def pushed(sink, total):
    """Seconds in which a producer gets rid of so many blocks, through a hot and a warm ring."""
    hot = ArrayRing(len(BLOCK), sink=ArrayRing(8 * len(BLOCK), sink=sink))
    for _ in range(2):  # the first time for pages that nobody has touched yet
        begin = time.perf_counter()
        for _ in range(total):
            hot.extend(BLOCK)
        seconds = time.perf_counter() - begin
        hot.flush()
    hot.close()
    return seconds


class Recording:
    timeout = 300

    def setup(self):
        self.folder = tempfile.mkdtemp()

    def teardown(self):
        shutil.rmtree(self.folder)

    def compared(self, total, times):
        ratios = []
        for _ in range(times):
            for call in (plain, recorded):  # in turns: the disk is shared
                shutil.rmtree(self.folder)
                os.mkdir(self.folder)
                os.sync()
                seconds = call(self.folder, total)
                ratios.append(seconds) if call is plain else ratios.append(ratios.pop() / seconds)
        return float(np.median(ratios))

    def track_rate_over_plain_writes(self):
        """A DiskSink that syncs in intervals, over os.write and as many syncs, sustained: target ≥ 0.9."""
        return self.compared(SUSTAINED, 3)

    def track_rate_over_plain_writes_of_a_burst(self):
        """The same for as much as there is memory for: checksums and a header in front cost what the disk hides."""
        return self.compared(BURST, 9)

    def beside(self, make):
        """A producer into a DiskSink behind a BackgroundSink that has room for all: its rate over one into `make()`."""
        ratios = []
        for i in range(9):
            disk = DiskSink(os.path.join(self.folder, str(i)), interval=INTERVAL)
            seconds = pushed(BackgroundSink(disk, BURST * len(BLOCK)), BURST)
            ratios.append(pushed(make(), BURST) / seconds)
            shutil.rmtree(disk.path)
        return float(np.median(ratios))

    def track_rate_over_dropping(self):
        """A producer of a burst, over one at whose end items are dropped: one copy, into memory, is all the rest."""
        return self.beside(DropSink)

    def track_rate_over_no_disk(self):
        """The same over one behind whose BackgroundSink is no disk; target ≥ 0.9."""
        return self.beside(lambda: BackgroundSink(DropSink(), BURST * len(BLOCK)))

    def track_rate_over_ring(self):
        """The same over one into a ring as large, which takes that copy too."""
        return self.beside(lambda: ArrayRing(BURST * len(BLOCK)))

    track_rate_over_plain_writes.unit = track_rate_over_plain_writes_of_a_burst.unit = "ratio"
    track_rate_over_dropping.unit = track_rate_over_no_disk.unit = track_rate_over_ring.unit = "ratio"


class Reading:
    """A slice of a segment whose blocks have been checked."""

    params = (1, 1000)
    param_names = ("segments",)

    def setup(self, segments):
        self.folder = tempfile.mkdtemp()
        with DiskSink(self.folder, segment_bytes=100_000, sync="never") as sink:
            for _ in range(segments):
                sink.send(np.arange(12_500.0))
        self.log = SpillLog(self.folder)
        self.log[10_000:12_000]

    def teardown(self, segments):
        shutil.rmtree(self.folder)

    def time_slice(self, segments):
        self.log[10_000:12_000]

    def time_open(self, segments):
        SpillLog(self.folder)
