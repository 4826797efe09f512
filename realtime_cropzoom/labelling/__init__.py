"""From recordings to labels: frames to label, and the labels that other programs made.

* ``frame_table``: ``frames.csv``, where each picture comes from
* ``label_table``: ``CollectedData.csv``, the labels

Frames to label:

* ``recordings``: videos and folders of images, whose frames are read by number
* ``small_pictures``, ``picking``, ``differing``: which frames differ
* ``doubts``, ``uncertain``: where the models are not sure
* ``same_picture``: whether a picture is still the frame of a recording that it was
* ``rounds``: the pictures of a round as files

Labels from another program, in reading order:

* ``formats``, ``read_label_file``: label files of other programs, in one form
* ``keypoint_names``, ``matching``, ``pictures``, ``placing``: which keypoint, and which picture, an entry is about
* ``merging``, ``checks``, ``sides``, ``unlabelled``: what changes, what looks wrong, and what is not there
* ``importing``, ``label_sheet``: all of it, and a picture to look at

Labels for another program:

* ``exports``, ``exporting``: frames and labels, as each program opens them
* ``prefill``: predictions of the project's models, and the record of them
"""
