"""The settings of a run: checked, and resolved from flags, environment, file and defaults."""
