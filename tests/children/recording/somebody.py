"""Records and reads as a user who may not do everything. Arguments: home, function to call, sync."""
import contextlib
import io
import os
import sys
from pathlib import Path

import numpy as np

from spill_ring import ArrayRing, DiskSink, SpillLog

home = Path(sys.argv[1])
folder = home / "log"
is_root = os.geteuid() == 0


def let(path, mode):
    if is_root:
        os.seteuid(0)
    path.chmod(mode)
    if is_root:
        os.seteuid(65534)


def is_refused(call):
    try:
        call()
    except PermissionError as error:
        assert error.filename.startswith(str(home)), error
        return True
    return False


def record_without_permission():
    let(home, 0o555)
    assert is_refused(lambda: DiskSink(folder)) and not folder.exists()
    let(home, 0o777)
    folder.mkdir()
    let(folder, 0o555)
    assert is_refused(lambda: DiskSink(folder)) and not list(folder.iterdir())
    let(folder, 0o777)
    with ArrayRing(3, "i8", DiskSink(folder)) as ring:
        ring.extend(range(10))
    assert len(SpillLog(folder)) == 10


def record_while_permission_changes():
    let(home, 0o777)
    ring = ArrayRing(3, "i8", sink := DiskSink(folder, segment_bytes=500, sync=sys.argv[3], interval=3600))
    ring.extend(range(10))
    let(folder, 0o555)
    n, refused = 10, 0
    while n < 200:
        before = ring[:].tolist(), ring.stats, sink.count
        if is_refused(lambda: ring.push(n)):
            refused += 1
            assert (ring[:].tolist(), ring.stats, sink.count) == before
            assert SpillLog(folder)[:].tolist() == list(range(sink.count))
            if refused == 5:
                let(folder, 0o777)
        else:
            n += 1
    assert 5 <= refused <= 6, refused  # one by the thread may come after
    ring.close()
    log = SpillLog(folder)
    assert log[:].tolist() == list(range(200)) and log.verify() == []


def read_without_permission():
    # before it becomes somebody, who may not even read the modules
    from spill_ring.cli.export import export
    from spill_ring.cli.show import show
    from spill_ring.cli.tail import tail

    def everything():
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    with contextlib.redirect_stdout(io.StringIO()), ArrayRing(3, sink=DiskSink(home / "other")) as ring:
        ring.extend(range(10))
        ring.flush()
        show(home / "other")  # imports more
    let(home, 0o777)
    with ArrayRing(3, "i8", DiskSink(folder, segment_bytes=2000)) as ring:
        for n in range(0, 1000, 10):
            ring.extend(range(n, n + 10))
    for path in folder.iterdir():
        let(path, 0o444)
    let(folder, 0o555)
    before = everything()
    assert is_refused(lambda: DiskSink(folder))
    log = SpillLog(folder)
    assert log[:].tolist() == list(range(1000)) and log.verify() == [] and log.refresh() == 1000
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert show(folder) == 0
        tail(folder, 3)
    assert "1,000" in said.getvalue() and said.getvalue().endswith("997\n998\n999\n")
    export(folder, home / "out.npy")
    assert np.load(home / "out.npy").tolist() == list(range(1000))
    assert everything() == before


globals()[sys.argv[2]]()
