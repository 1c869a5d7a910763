"""Where evicted items go: one module for each sink."""
