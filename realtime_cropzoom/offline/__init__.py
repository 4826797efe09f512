"""Offline commands for recordings and labelled images: Lightning Pose's cropzoom commands, without torch.

``predict``, ``create_bbox``, ``smooth_bbox``, ``crop`` and ``remap`` write the files that ``litpose``
writes, in the same places. ``pipeline`` does all of it in one pass over a video. Each command calls the
pure functions of the live stages in a plain loop. Only the models run on several cores at once, one frame
per core, which changes no number.

In reading order:

* ``inputs``, ``model_directory``, ``command``: what the user gave, and where the results go.
* ``pipeline``, ``video_pass``: detector, boxes and poses in one pass.
* ``cluster``: that pass over many recordings, one task each.
* ``predict``, ``predict_video``, ``predict_images``, ``prediction``: keypoints of one model.
* ``create_bbox``, ``bbox_csv``, ``crop``, ``remap``: boxes, crops, and the way back to the frame.
* ``inference_pool``, ``frame_reader``: run a model on all cores, and decode ahead.
* ``provenance``: what each file was made of.
* ``quantization``, ``quantization_frames``: int8 exports of a model.
* ``metrics``, ``annotate``, ``poses_in_cm``, ``video_writer``, ``images``, ``train_split``: further files and parts.
"""
