"""Graph cut: the part between two tensors gives what the whole gives there, with its weights and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from realtime_cropzoom.inference.graph_cut import cut
from realtime_cropzoom.types import Float32

HERE = Path("m.onnx")


def network() -> onnx.ModelProto:
    """image → halved → doubled by a Conv → squared; and a branch around the Conv."""
    nodes = [
        helper.make_node("Mul", ["image", "half"], ["halved"]),
        helper.make_node("Conv", ["halved", "kernel"], ["doubled"]),
        helper.make_node("Mul", ["doubled", "doubled"], ["squared"]),
        helper.make_node("Add", ["doubled", "image"], ["around"]),
    ]
    weights = {
        "half": np.float32(0.5),
        "kernel": np.full((1, 1, 1, 1), 2, np.float32),
        "unused": np.ones(9, np.float32),
    }
    images = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, "h", "w"]) for name in ("image", "squared")
    ]
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "whole", images[:1], images[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(content: bytes, image: Float32) -> Float32:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: image})
    return np.asarray(output, np.float32)


def test_the_part_computes_what_the_whole_computes_there() -> None:
    part = cut(network(), "halved", "doubled", (1, 1), HERE)
    assert part is not None
    image = np.arange(12, dtype=np.float32).reshape(2, 1, 2, 3)
    np.testing.assert_array_equal(run(part, image), 2 * image)
    proto = onnx.load_from_string(part)
    assert [node.op_type for node in proto.graph.node] == ["Conv"]
    assert [weight.name for weight in proto.graph.initializer] == ["kernel"]


@pytest.mark.parametrize(("begin", "end"), [("halved", "around"), ("doubled", "halved"), ("halved", "nothing")])
def test_a_part_that_needs_more_is_none(begin: str, end: str) -> None:
    assert cut(network(), begin, end, (1, 1), HERE) is None


def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(network(), path, save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    proto = onnx.load(path, load_external_data=False)
    part = cut(proto, "halved", "doubled", (1, 1), path)
    assert part is not None
    assert run(part, np.ones((1, 1, 1, 1), np.float32)) == 2
