"""Makers: how the files of each program that trains pose models become manifests. One module a maker.

* ``maker`` – what a maker module provides
* ``registry`` – the list of makers
* ``lightning_pose`` – model directories of Lightning Pose
* ``deeplabcut`` – exports of DeepLabCut; ``export_deeplabcut`` makes them, in its environment
* ``cropzoom`` – files of this package: they carry a manifest
* ``names`` – names of keypoints for files that have none
* ``rtmpose`` – exports of MMDeploy
* ``ultralytics`` – exports of Ultralytics
* ``sleap`` – exports of sleap-nn: ``sleap_graph`` finds the networks in them, ``sleap_training`` reads their training
"""
