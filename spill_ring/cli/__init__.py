"""The command line: `app` says what there is, the other modules do it. Nothing in the rings knows of it."""
from spill_ring.cli.app import main as main
