"""Inference: from an image and a box to keypoints in frame pixels. Only ``model`` runs models.

In reading order:

* ``schedule``: decides which box each frame gets, and the state of that box.
* ``boxes``, ``box_size``: the box around a detection, and warnings about unsuitable box sizes.
* ``manifest``: the description of a network: its input, a geometry, a decoder.
* ``onnx_file``: reads what an ONNX file says of itself, and refuses dangerous files.
* ``makers``: turn the files of each program that trains models into manifests.
* ``manifest_changes``, ``manifest_words``, ``self_describing``: what a user sets in a manifest, a manifest in words, a
  model as one file with its manifest.
* ``model_paths``, ``model_file``, ``model_check``: which file a setting means, its description, and whether both agree.
* ``memory_need``: refuses a network that does not fit into the memory.
* ``graph_cut``: takes the network out of a file that also resizes images or finds peaks.
* ``crop``: cuts the box out of the frame, and resizes it to the input of Lightning Pose's models.
* ``geometries``: show the box to networks of other kinds, and map keypoints back to the frame.
  ``antialias`` resizes as Pillow does.
* ``normalise``: turns the picture into the values of the input.
* ``context_window``: collects the five frames that a context model needs.
* ``providers``: the providers of ONNX Runtime, their options, and why one cannot be used.
* ``onnx_session``: ONNX Runtime with exactly the requested provider.
* ``gpu_loading``: opens a network on a GPU, with what belongs to it:
  ``image_graph`` resizes and normalises within the network, ``bound_network`` and ``device_memory`` hold its buffers,
  ``engine_cache`` keeps the engines of TensorRT.
* ``decoders``: turn the outputs into keypoints. ``heatmaps`` does it as Lightning Pose does.
* ``kernels``: the loops of these modules that run for every frame, compiled.
* ``model``: a loaded model: pixels in, keypoints in frame pixels out.
* ``tracks``: which detection of a frame is which animal, if there are several.
* ``copies``: which poses are of another animal than their box.
* ``presence``: checks whether a detection or a pose shows the animal.
* ``appearance``: how long and how bright an animal is in a frame, and in the training of a model.
* ``pose_quality``: counts implausible poses of a run and reports them at its end.
"""
