"""What ``bench.py`` measures: one file a measurement, and what they share."""
