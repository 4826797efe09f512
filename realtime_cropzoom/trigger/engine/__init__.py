"""The rule engine: events in, decisions out. No clock, no files, no threads."""
