"""Several cameras: one process per camera, started, watched and ended together."""
