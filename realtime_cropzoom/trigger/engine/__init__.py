"""Rule engine: turns events into decisions. It has no clock, no files and no threads."""
