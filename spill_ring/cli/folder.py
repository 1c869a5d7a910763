"""The FOLDER of a recording, which `show`, `tail` and `export` read."""
import os
from pathlib import Path

import typer

from spill_ring.recording.layout import read_manifest
from spill_ring.recording.log import SpillLog
from spill_ring.serialization.encoders import HARMLESS

FOLDER = typer.Argument(metavar="FOLDER", help="The folder of a recording.")
RAW = typer.Option("--raw", help="Strings and bytes as they are, not escaped.")


def open_log(folder: Path) -> SpillLog:
    """Open a recording; ValueError where reading its objects could run code that its writer chose."""
    manifest = read_manifest(os.fsdecode(folder))
    if manifest is not None and manifest.encoder not in (None, *HARMLESS):
        raise ValueError(
            f"{folder} holds objects by encoder {manifest.encoder!r}, which takes Python to read: "
            "SpillLog(folder, encoder=...)"
        )
    return SpillLog(folder)
