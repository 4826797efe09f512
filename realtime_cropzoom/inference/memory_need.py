"""Memory need: refuses a network whose numbers do not fit into the memory, before it runs.

The shapes of all values follow from that of the input (ONNX's shape inference). A network needs at least the inputs and
outputs of its largest operator at the same time.
"""

from __future__ import annotations

import math
import os
from typing import Any

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.model_file import ModelFile

_SMALL = 1 << 12
"""Constants of up to so many bytes may say a shape, and stay for the inference."""


def check_memory(file: ModelFile, shape: tuple[int, ...]) -> None:
    """Raise ModelError if a network needs more memory than is free.

    Args:
        file: The model on disk.
        shape: Shape of its input for one frame, with the batch axis.
    """
    needed, free = needed_bytes(file, shape), free_bytes()
    if needed > free:
        sides = "x".join(map(str, shape[1:]))
        raise ModelError(
            f"{file.onnx} needs about {needed / 1e9:.1f} GB of memory for an input of {sides}, expected at most the "
            f"{free / 1e9:.1f} GB that are free here; take a smaller input size, or a machine with more memory"
        )


def needed_bytes(file: ModelFile, shape: tuple[int, ...]) -> int:
    """Return the least memory (bytes) that a network needs for one frame; 0 if its shapes cannot be inferred.

    Args:
        file: The model on disk.
        shape: Shape of its input for one frame, with the batch axis.
    """
    import onnx  # 0.1 s, which commands without a model need not wait for

    if file.network is None:
        proto = onnx.load(str(file.onnx), load_external_data=False)
    else:
        proto = onnx.load_from_string(file.network)
    _drop_weights(proto.graph)
    _fix_input(proto.graph, shape)
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except Exception:  # a network that it does not understand may still run: ONNX Runtime decides
        return 0
    sizes = _sizes(inferred.graph)
    needs = (sum(sizes.get(name, 0) for name in {*node.input, *node.output}) for node in inferred.graph.node)
    return max(needs, default=0)


def free_bytes() -> int:
    """Return the memory (bytes) that programs can still have; all memory if the system does not say it."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return _all_bytes()


def _all_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return 1 << 62


def _drop_weights(graph: Any) -> None:
    """Delete the numbers of the weights: their shapes are enough."""
    for tensor in graph.initializer:
        if len(tensor.raw_data) > _SMALL:
            tensor.ClearField("raw_data")


def _fix_input(graph: Any, shape: tuple[int, ...]) -> None:
    weights = {tensor.name for tensor in graph.initializer}
    first = next((value for value in graph.input if value.name not in weights), None)
    if first is None:
        return
    dims = first.type.tensor_type.shape.dim
    for dim, side in zip(dims, shape, strict=False):
        dim.dim_value = side


def _sizes(graph: Any) -> dict[str, int]:
    """Return {value: its size in bytes}, of all whose shapes are known."""
    sizes = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        sides = [dim.dim_value for dim in tensor.shape.dim]
        if tensor.HasField("shape") and all(side > 0 for side in sides):
            sizes[value.name] = math.prod(sides) * _item_bytes(tensor.elem_type)
    return sizes


def _item_bytes(number_type: int) -> int:
    import onnx

    try:
        return int(onnx.helper.tensor_dtype_to_np_dtype(number_type).itemsize)
    except (KeyError, TypeError, ValueError):
        return 1
