"""Several cameras: one process each, started, watched and ended together."""
