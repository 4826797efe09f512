"""From recordings to labels: frames to label, and the labels that other programs made.

* ``frame_table``: ``frames.csv``, where each picture comes from
"""
