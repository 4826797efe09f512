"""Inference: from an image and a box to keypoints in frame pixels. Only ``model`` runs models.

In reading order:

* ``schedule``: decides which box each frame gets, and the state of that box.
* ``boxes``, ``box_size``: the box around a detection, and warnings about unsuitable box sizes.
* ``crop``: cuts and resizes the box to the model input, and maps keypoints back to the frame.
* ``context_window``: collects the five frames that a context model needs.
* ``model_spec``: reads the description of a model directory or an .onnx file.
* ``providers``: the providers of ONNX Runtime, their options, and why one cannot be used.
* ``onnx_session``: ONNX Runtime with exactly the requested provider.
* ``gpu_loading``: opens a network on a GPU, with what belongs to it:
  ``image_graph`` resizes and normalises within the network, ``bound_network`` and ``device_memory`` hold its buffers,
  ``engine_cache`` keeps the engines of TensorRT.
* ``heatmaps``: decodes heatmaps to keypoints and likelihoods, as Lightning Pose does.
* ``kernels``: the loops of these modules that run for every frame, compiled.
* ``model``: a loaded model: pixels in, keypoints in frame pixels out.
* ``presence``: checks whether a detection or a pose shows the animal.
* ``pose_quality``: counts implausible poses of a run and reports them at its end.
"""
