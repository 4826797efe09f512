"""Image graph: puts resizing and normalising into the network, so that a GPU receives nothing but the crop's bytes.

The nodes do what ``crop.fill_input`` does for videos: bilinear in float32 without antialiasing, then ImageNet's mean
and standard deviation. The library ``onnx`` adds them when the model is loaded: files on disk stay as their trainer
wrote them, and a model of any maker gets them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from realtime_cropzoom.errors import ModelError, first_line
from realtime_cropzoom.inference.normalise import Values, values_of
from realtime_cropzoom.inference.onnx_file import NetworkFile

IMAGE = "cropzoom_image"
"""Name of the input: (1, h, w, 3) uint8, RGB, of any size."""
_TYPES = {"tensor(float)": "FLOAT", "tensor(float16)": "FLOAT16"}
"""Number types that a network may take: ONNX Runtime's name, and that of ONNX."""
_OLDEST_OPSET = 13
"""Resize has its present inputs since then."""


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """What a network says of its input."""

    shape: list[int | str]
    """Its shape; a name or "" where it is open."""
    number_type: str
    """Its number type, as ONNX Runtime writes it."""


@dataclass(frozen=True, slots=True)
class ImageGraph:
    """A network that takes an image."""

    content: bytes
    """The ONNX file, weights included."""
    own_input: NetworkInput
    """The input that it had before."""


def read_input(file: NetworkFile) -> NetworkInput | None:
    """Return the input of a network; None if it has none, or several. Raises ModelError if it cannot be read."""
    return _input_of(_load(file, weights=False))


def with_image_input(file: NetworkFile) -> ImageGraph | None:
    """Return a network with an image as its input.

    Args:
        file: The network. Its input is (N, 3, H, W) with fixed H and W, float32 or float16, for RGB images.

    Returns:
        The network, or None if its input is not of that kind, as that of a context model.

    Raises:
        ModelError: if the file cannot be read or is too large.
    """
    onnx = _library()
    proto, model_input = _load(file, weights=True), file.image_input
    assert model_input is not None
    found = _input_of(proto)
    opset = max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if found is None or found.number_type not in _TYPES or opset < _OLDEST_OPSET:
        return None
    shape = found.shape
    if len(shape) != 4 or shape[1] != 3 or not all(isinstance(side, int) for side in shape[2:]):
        return None
    replaced = proto.graph.input[0]
    number = replaced.type.tensor_type.elem_type
    nodes, constants = _nodes(onnx, replaced.name, number, (int(shape[2]), int(shape[3])), values_of(model_input))
    replaced.CopyFrom(onnx.helper.make_tensor_value_info(IMAGE, onnx.TensorProto.UINT8, [1, "h", "w", 3]))
    nodes += proto.graph.node
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    proto.graph.initializer.extend(constants)
    try:
        return ImageGraph(proto.SerializeToString(), found)
    except ValueError as error:  # protobuf's limit of 2 GiB
        raise ModelError(f"{file.path} is too large for a GPU ({error}); expected a model below 2 GB") from error


def _nodes(
    onnx: Any, network_input: str, number: int, size: tuple[int, int], values: Values
) -> tuple[list[Any], list[Any]]:
    """Return the nodes from the image to the network's input, and their constants."""
    scale, shift = values.scale[:, None, None], values.shift[:, None, None]
    constants = {"sizes": np.array([1, 3, *size], np.int64), "scale": scale, "shift": shift}
    step = onnx.helper.make_node
    nodes = [
        step("Transpose", [IMAGE], ["cropzoom_planes"], perm=[0, 3, 1, 2]),
        step("Cast", ["cropzoom_planes"], ["cropzoom_float"], to=onnx.TensorProto.FLOAT),
        step(
            "Resize", ["cropzoom_float", "", "", "cropzoom_sizes"], ["cropzoom_resized"],
            mode="linear", coordinate_transformation_mode="half_pixel",
        ),
        step("Mul", ["cropzoom_resized", "cropzoom_scale"], ["cropzoom_scaled"]),
        step("Add", ["cropzoom_scaled", "cropzoom_shift"], ["cropzoom_normalised"]),
        step("Cast", ["cropzoom_normalised"], [network_input], to=number),
    ]  # fmt: skip
    for node in nodes:
        node.name = node.output[0]
    return nodes, [onnx.numpy_helper.from_array(value, f"cropzoom_{name}") for name, value in constants.items()]


def _load(file: NetworkFile, *, weights: bool) -> Any:
    onnx = _library()
    try:
        if file.content is not None:
            return onnx.load_from_string(file.content)
        return onnx.load(str(file.path), load_external_data=weights)
    except Exception as error:  # protobuf's errors have no common base
        raise ModelError(f"{file.path} cannot be loaded as an ONNX model: {first_line(error)}") from error


def _input_of(proto: Any) -> NetworkInput | None:
    weights = {tensor.name for tensor in proto.graph.initializer}  # old exporters list them among the inputs
    inputs = [value for value in proto.graph.input if value.name not in weights]
    if len(inputs) != 1 or proto.graph.input[0].name != inputs[0].name:
        return None
    tensor = inputs[0].type.tensor_type
    names = {number: text for text, number in _TYPES.items()}
    number_type = names.get(_library().TensorProto.DataType.Name(tensor.elem_type), "")
    return NetworkInput([dim.dim_value or dim.dim_param for dim in tensor.shape.dim], number_type)


def _library() -> Any:
    import onnx  # 0.1 s, which commands without a model need not wait for

    return onnx
