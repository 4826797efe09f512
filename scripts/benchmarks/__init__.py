"""Measurements of ``bench.py``: one file per measurement, and shared parts."""
