from spill_ring.cli.app import main as main
