"""The receiving end: what the script of an experiment imports."""
