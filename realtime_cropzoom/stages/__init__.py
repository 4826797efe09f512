"""The stages: one class, one thread, one run loop each."""
