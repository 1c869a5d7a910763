"""``spill-ring tail``: print the newest items, and those to come."""
import csv
import select
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from spill_ring.cli.columns import rows
from spill_ring.cli.folder import FOLDER, RAW, open_log
from spill_ring.cli.text import printable

CHECK_INTERVAL = 0.5  # seconds after which `tail -f` notices that its reader is gone


def tail(
    folder: Annotated[Path, FOLDER],
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many.")] = 10,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it is recorded.")] = False,
    raw: Annotated[bool, RAW] = False,
) -> int:
    """Print the newest items of FOLDER, one a line, with commas between the fields.

    Strings are escaped: a control character is printed as \\x1b, and one that
    a spreadsheet would run as a formula has an apostrophe in front.

    With -f it ends by Ctrl-C, or when nobody reads its output any more.
    """
    log = open_log(folder)
    at = max(log.first, log.end - lines)
    for block in log.blocks(start=at):
        print_items(block, raw)
        at += len(block)
    while follow and not reader_gone():
        try:
            for block in log.follow(at, timeout=CHECK_INTERVAL):
                print_items(block, raw)
                at += len(block)
        except IndexError as error:  # keep_bytes removed items before they could be printed
            print(printable(f"spill-ring: {error}"), file=sys.stderr)
            at = log.first
    return 0


def print_items(block: Any, raw: bool) -> None:
    """Print one item a line: numbers as in a CSV file, objects by their repr, which escapes what `printable` does."""
    if isinstance(block, np.ndarray):
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows(block, raw))
    else:
        print(*map(repr, block), sep="\n")
    sys.stdout.flush()


def reader_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
