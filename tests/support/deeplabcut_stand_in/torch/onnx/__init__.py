"""Part of the stand-in: writes the network of the stand-in, with an error if the environment asks for one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import onnx

sys.path.insert(0, str(Path(__file__).parents[4]))
from support.deeplabcut_models import network


def export(module: Any, arguments: tuple[Any], path: str, *, dynamic_axes: Any, **options: Any) -> None:
    assert options == {"opset_version": 17, "input_names": ["image"], "output_names": ["heatmap", "locref"]}
    assert dynamic_axes["image"] == {0: "batch", 2: "height", 3: "width"}
    assert [tensor.shape[:2] for tensor in module(arguments[0])] == [(1, 2), (1, 4)]
    model = network()
    error = float(os.environ.get("STAND_IN_ERROR", "0"))
    bias = onnx.helper.make_tensor("bias", onnx.TensorProto.FLOAT, [2], [error, error])
    model.graph.initializer.append(bias)
    model.graph.node[0].input.append("bias")
    onnx.save(model, path)
