"""Recordings and labelled images: Lightning Pose's cropzoom commands, without torch.

``predict``, ``create_bbox``, ``smooth_bbox``, ``crop`` and ``remap`` leave the files that
``litpose`` leaves, in the same places; ``pipeline`` does it all in one pass over the video. Each
calls the same pure functions as the live stages, in a plain loop; only the models run on several
cores at once, frame by frame, which changes no number.
"""
