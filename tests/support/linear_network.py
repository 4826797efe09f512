"""A network whose outputs are linear in the mean of each channel of its input: what it sees is known exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def linear_network(
    size: tuple[int | str, int | str],
    outputs: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    metadata: Mapping[str, str] | None = None,
    batch: int | str = 1,
    declared: Mapping[str, Sequence[int | str]] | None = None,
) -> onnx.ModelProto:
    """Return a network with the input ``images`` (batch, C, H, W).

    Args:
        size: (W, H) of its input; names leave it open.
        outputs: Name → weights (C, ...) and bias (...): the output is bias + Σ mean of channel c · weights[c].
        metadata: Its metadata properties.
        batch: Its batch size; a name leaves it open.
        declared: Name → shape of an output that the file states, in place of its true one.
    """
    channels = len(next(iter(outputs.values()))[0])
    nodes = [helper.make_node("ReduceMean", ["images"], ["means"], axes=[2, 3], keepdims=0)]
    constants, values = {}, []
    for name, (weights, bias) in outputs.items():
        constants[f"{name} weights"] = np.reshape(weights, (channels, -1)).astype(np.float32)
        constants[f"{name} bias"] = np.asarray(bias, np.float32).ravel()
        constants[f"{name} shape"] = np.array([-1, *np.shape(bias)], np.int64)
        nodes += [
            helper.make_node("MatMul", ["means", f"{name} weights"], [f"{name} product"]),
            helper.make_node("Add", [f"{name} product", f"{name} bias"], [f"{name} sum"]),
            helper.make_node("Reshape", [f"{name} sum", f"{name} shape"], [name]),
        ]
        shape = (declared or {}).get(name, (batch, *np.shape(bias)))
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    taken = helper.make_tensor_value_info("images", TensorProto.FLOAT, (batch, channels, size[1], size[0]))
    initial = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "linear", [taken], values, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    return model
