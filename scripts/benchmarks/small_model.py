"""A network without learned weights that finds a bright spot, for measurements of anything but the network."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from realtime_cropzoom.inference.makers.cropzoom import KEY
from realtime_cropzoom.inference.manifest import LitposeHeatmaps, Manifest, Stretch
from realtime_cropzoom.inference.normalise import IMAGENET

_SIDE, _CELLS = 64, 16
"""Sides of the input (pixels) and of a heatmap (cells)."""
_NAMES = ("first", "second", "third", "fourth")
_STEEPNESS = 12.0


def write_small_model(path: Path) -> Path:
    """Write the network: mean over 8×8 pixels every 4 pixels, then a softmax over each of four equal maps."""
    constants = {
        "weights": np.full((len(_NAMES), 3, 1, 1), _STEEPNESS / 3, np.float32),
        "flat": np.array([1, len(_NAMES), _CELLS * _CELLS]),
        "maps": np.array([1, len(_NAMES), _CELLS, _CELLS]),
    }
    nodes = [
        helper.make_node("AveragePool", ["images"], ["pooled"], kernel_shape=[8, 8], strides=[4, 4], pads=[2] * 4),
        helper.make_node("Conv", ["pooled", "weights"], ["scores"]),
        helper.make_node("Reshape", ["scores", "flat"], ["rows"]),
        helper.make_node("Softmax", ["rows"], ["shares"], axis=2),
        helper.make_node("Reshape", ["shares", "maps"], ["heatmaps"]),
    ]
    shapes = {"images": [1, 3, _SIDE, _SIDE], "heatmaps": [1, len(_NAMES), _CELLS, _CELLS]}
    given, found = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    weights = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "bright spot", [given], [found], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    given_size = msgspec.structs.replace(IMAGENET, size=(_SIDE, _SIDE))
    manifest = Manifest(KEY, _NAMES, given_size, Stretch(), LitposeHeatmaps(2), kind="heatmap")
    helper.set_model_props(model, {KEY: manifest.to_json()})
    onnx.save(model, str(path))
    return path
