"""Sinks that do I/O."""
