"""From recordings to labels: frames to label, and the labels that other programs made.

* ``frame_table``: ``frames.csv``, where each picture comes from
* ``recordings``: videos and folders of images, whose frames are read by number
* ``small_pictures``, ``picking``, ``differing``: which frames differ
* ``rounds``: the pictures of a round as files
"""
