"""Frames and labels of a project for other programs: a folder that each of them opens.

* ``job``: what is exported
* ``deeplabcut``: a project of DeepLabCut, for napari-deeplabcut
* ``sleap``: one ``.pkg.slp`` for SLEAP
* ``coco``: COCO keypoints with their images, for CVAT; and the images alone, for Label Studio
"""
