"""Label files of other programs, in one form. Nothing is unpickled, evaluated or unpacked.

* ``label_file``: what a label file holds
* ``deeplabcut``: CSV of DeepLabCut and Lightning Pose, H5 of DeepLabCut
* ``sleap``: ``.slp`` and ``.pkg.slp``
* ``coco``: COCO keypoints, as ``.json`` or ``.zip``
* ``label_studio``: JSON of Label Studio
* ``json_text``: JSON of other programs
"""
