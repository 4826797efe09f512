"""Inference: from an image and a box to keypoints in frame pixels. Only ``model`` and ``onnx_session`` run models.

In reading order:

* ``schedule``: decides which box each frame gets, and the state of that box.
* ``boxes``, ``box_size``: the box around a detection, and warnings about unsuitable box sizes.
* ``crop``: cuts and resizes the box to the model input, and maps keypoints back to the frame.
* ``context_window``: collects the five frames that a context model needs.
* ``model_spec``: reads the description of a model directory or an .onnx file.
* ``onnx_session``: ONNX Runtime with exactly the requested provider.
* ``heatmaps``: decodes heatmaps to keypoints and likelihoods, as Lightning Pose does.
* ``kernels``: the loops of these modules that run for every frame, compiled.
* ``model``: a loaded model: pixels in, keypoints in frame pixels out.
* ``presence``: checks whether a detection or a pose shows the animal.
* ``pose_quality``: counts implausible poses of a run and reports them at its end.
"""
