"""``python -m spill_ring``."""
from spill_ring.cli import main

if __name__ == "__main__":
    main()
