"""The command line. `app` assembles it, and each command has a module: `record`, `show`, `tail`, `export`."""
from spill_ring.cli.app import main as main
