"""Graph cut: takes a part out of a network, in memory, so that what surrounds it can be done by this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realtime_cropzoom.errors import ModelError, first_line


def cut(proto: Any, begin: str, end: str, channels: tuple[int, int], path: Path) -> bytes | None:
    """Return the part of a network between two of its tensors, as an ONNX file with its weights inside.

    Args:
        proto: The parsed file. Weights beside it are read.
        begin: Name of the tensor that becomes the input: float32, (N, C, H, W).
        end: Name of the tensor that becomes the output, likewise.
        channels: C of both.
        path: The file, for weights beside it and for error texts.

    Returns:
        The network; None if ``end`` needs more than ``begin``.

    Raises:
        ModelError: if weights beside the file cannot be read, or the part is larger than an ONNX file can be.
    """
    import onnx

    kept = _needed(proto.graph, begin, end)
    if kept is None:
        return None
    part = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    part.graph.name = "part"
    part.graph.node.extend(node for node in proto.graph.node if kept.intersection(node.output))
    part.graph.initializer.extend(weight for weight in proto.graph.initializer if weight.name in kept)
    for values, name, count in ((part.graph.input, begin, channels[0]), (part.graph.output, end, channels[1])):
        shape: list[str | int | None] = ["batch", count, f"height of {name}", f"width of {name}"]
        values.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    try:
        onnx.load_external_data_for_model(part, str(path.parent))
        return bytes(part.SerializeToString())
    except Exception as error:  # protobuf's errors have no common base
        raise ModelError(f"{path} cannot be loaded as an ONNX model: {first_line(error)}") from error


def _needed(graph: Any, begin: str, end: str) -> set[str] | None:
    """Return the names of all tensors from which ``end`` is computed; None if the network's input is one of them."""
    made_by = {output: node for node in graph.node for output in node.output}
    weights = {weight.name for weight in graph.initializer}
    needed, open_names = set(), [end]
    while open_names:
        name = open_names.pop()
        if name in needed or name in ("", begin):
            continue
        needed.add(name)
        if name in weights:
            continue
        node = made_by.get(name)
        if node is None or any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            return None
        open_names.extend(node.input)
    return needed
