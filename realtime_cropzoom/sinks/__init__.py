"""Where records go: one thread and one bounded queue each."""
