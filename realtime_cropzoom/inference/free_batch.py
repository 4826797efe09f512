"""Free batch: lets a network that was exported for one frame take any number of frames at once, in memory.

Most exports state a batch of one, although none of their operators mixes frames. Only networks of operators that are
known for that are changed; whether the changed one gives the same numbers is up to the caller to try.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.onnx_file import read_onnx_file

_EACH_FRAME = {
    *("Add", "AveragePool", "BatchNormalization", "Clip", "Conv", "ConvTranspose", "DepthToSpace", "Div"),
    *("GlobalAveragePool", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "MaxPool", "Mul", "Relu", "Resize"),
    *("Sigmoid", "Softmax", "Sub", "Tanh", "Reshape"),
}
"""Operators that compute each frame on its own."""


def free_batch(path: Path) -> bytes | None:
    """Return a network whose first axis is of any length, as an ONNX file with its weights inside.

    Args:
        path: An ONNX file for one frame at a time.

    Returns:
        The network; None if an operator may mix frames, or the file is larger than an ONNX file can be.

    Raises:
        ModelError: if the file, or a file with its weights, cannot be read.
    """
    import onnx

    proto = read_onnx_file(path).proto
    try:
        onnx.load_external_data_for_model(proto, str(path.parent))
    except Exception as error:  # protobuf's errors have no common base
        raise ModelError(f"{path} cannot be loaded as an ONNX model: {error}") from error
    weights = {weight.name: weight for weight in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type not in _EACH_FRAME:
            return None
        if node.op_type == "Reshape" and not _free_shape(weights.get(node.input[1])):
            return None
    for tensor in (*proto.graph.input, *proto.graph.output):
        if tensor.name not in weights:
            tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    del proto.graph.value_info[:]
    try:
        return bytes(proto.SerializeToString())
    except ValueError:  # beyond 2 GB
        return None


def _free_shape(shape: Any) -> bool:
    """Change the constant shape of a Reshape from one frame to any number; return whether it is one."""
    from onnx import numpy_helper

    if shape is None:
        return False
    sides = numpy_helper.to_array(shape).copy()
    if sides.ndim != 1 or len(sides) < 2 or sides[0] not in (1, -1) or (sides[1:] <= 0).any():
        return False
    sides[0] = -1
    shape.CopyFrom(numpy_helper.from_array(sides, shape.name))
    return True
