from spill_ring.cli import main as main
