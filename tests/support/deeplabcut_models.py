"""Small models as the export of DeepLabCut writes them, and what it says of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NAMES = ["nose", "tail, base"]


def facts(**changes: Any) -> dict[str, Any]:
    """What a configuration of a bottom-up model says, with changes."""
    return {
        "deeplabcut_version": "3.0.2",
        "net_type": "resnet_50",
        "method": "bu",
        "bodyparts": NAMES,
        "stride": 8.0,
        "predictor": {
            "type": "HeatmapPredictor", "apply_sigmoid": False, "clip_scores": True, "location_refinement": True,
            "locref_std": 7.2801,
        },
        "data_inference": {"resize": None, "hist_eq": False, "auto_padding": None, "normalize_images": True},
        "colormode": "RGB",
        **changes,
    }  # fmt: skip


def rtmpose_facts(**predictor: Any) -> dict[str, Any]:
    """What the configuration of an RTMPose model says, with changes of its predictor."""
    given = {"simcc_split_ratio": 2.0, "sigma": [5.66, 5.66], "decode_beta": 150.0, "apply_softmax": True, **predictor}
    return facts(
        net_type="rtmpose_s",
        method="td",
        predictor={"type": "SimCCPredictor", "normalize_outputs": False, **given},
        data_inference={"normalize_images": True, "top_down_crop": {"width": 256, "height": 256}},
    )


def network(**metadata: object) -> onnx.ModelProto:
    """A network that gives heatmaps of brightness, a cell for 8×8 px, and offsets of zero."""
    keypoints = len(NAMES)
    constants = {
        "gray": np.full((keypoints, 3, 8, 8), 1 / 192, np.float32),
        "zero": np.zeros((2 * keypoints, 3, 8, 8), np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "gray"], ["heatmap"], strides=[8, 8]),
        helper.make_node("Conv", ["image", "zero"], ["locref"], strides=[8, 8]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", count, "rows", "columns"])
            for name, count in (("heatmap", keypoints), ("locref", 2 * keypoints))
        ],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata.items()})
    return model
