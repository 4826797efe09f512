"""What a file says of its network is read without running it; what no honest file does is refused in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.onnx_file import NetworkFile, Tensor, read_onnx_file

Make = Callable[..., Path]


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_onnx_file(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def write(path: Path, *, weights: TensorProto | None = None, node: onnx.NodeProto | None = None) -> Path:
    """Write a network that adds weights to its input, which may be changed, or runs another node."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("images", "sum")]
    own = numpy_helper.from_array(np.ones(2, np.float32), "weights") if weights is None else weights
    add = helper.make_node("Add", ["images", "weights"], ["sum"]) if node is None else node
    model = helper.make_model(helper.make_graph([add], "add", values[:1], values[1:], [own]))
    path.write_bytes(model.SerializeToString())
    return path


def outside(location: str) -> TensorProto:
    """Weights that are kept in another file."""
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def test_a_file_says_its_inputs_outputs_and_metadata(make_model: Make) -> None:
    path = make_model("pose", ["middle"], kind="heatmap_mhcrnn", input_shape=("N", 5, 3, 64, 64))
    file = read_onnx_file(path)
    assert file.inputs == (Tensor("images", ("N", 5, 3, 64, 64), "float32"),)
    assert [(output.name, output.shape) for output in file.outputs] == [
        ("heatmaps", ("N", 1, 16, 16)),
        ("heatmaps_mf", ("N", 1, 16, 16)),
    ]
    assert list(file.metadata) == ["cropzoom"]
    assert file.proto.graph.name == "brightest"


def test_weights_among_the_inputs_as_old_exporters_list_them_are_no_inputs(tmp_path: Path) -> None:
    path = write(tmp_path / "old.onnx")
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, [2]))
    onnx.save(model, path)
    assert [tensor.name for tensor in read_onnx_file(path).inputs] == ["images"]


@pytest.mark.parametrize("name", ["best.pt", "model.PTH", "last.ckpt", "best_model.h5", "graph.pb", "yolo.engine"])
def test_files_that_run_code_are_not_opened_and_the_line_says_what_to_make(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    line = refusal(tmp_path / name)
    assert "loading one can run any code; expected an .onnx file" in line
    assert "'sleap-nn export', 'cropzoom export-deeplabcut' or 'yolo export format=onnx'" in line


@pytest.mark.parametrize("content", [b"", b"a text\n", bytes(range(256)) * 4])
def test_what_is_no_onnx_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    assert "cannot be loaded as an ONNX model: " in refusal(tmp_path / "model.onnx")


def test_a_file_without_end_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "endless.onnx").symlink_to("/dev/zero")
    assert "expected a file below 2 GB" in refusal(tmp_path / "endless.onnx")
    (tmp_path / "folder.onnx").mkdir()
    assert "cannot be read: Is a directory" in refusal(tmp_path / "folder.onnx")
    assert "cannot be read: No such file" in refusal(tmp_path / "missing.onnx")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "expected a file below 2 GB" in refusal(tmp_path / "pipe.onnx")


@pytest.mark.parametrize("location", ["/etc/passwd", "../other.bin", "data/../../other.bin"])
def test_weights_outside_the_folder_are_not_read(location: str, tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(bytes(8))
    (tmp_path / "data").mkdir()
    folder = tmp_path / "model"
    folder.mkdir()
    assert "outside its folder; put both files into one folder" in refusal(
        write(folder / "m.onnx", weights=outside(location))
    )


def test_weights_that_are_absent_or_a_link_out_of_the_folder_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = write(folder / "m.onnx", weights=outside("m.onnx.data"))
    assert "keeps its weights in m.onnx.data, which is not beside it; copy both files together" in refusal(path)
    (tmp_path / "secret").write_bytes(bytes(8))
    (folder / "m.onnx.data").symlink_to(tmp_path / "secret")
    assert "a link out of its folder; copy the file" in refusal(path)
    (folder / "m.onnx.data").unlink()
    (folder / "m.onnx.data").write_bytes(bytes(8))
    assert read_onnx_file(path).inputs[0].name == "images"


@pytest.mark.parametrize(("length", "cut"), [("8", False), ("9", True), ("9" * 5000, True), ("x", False)])
def test_weights_that_end_too_early_are_named(length: str, cut: bool, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(bytes(8))
    weights = outside("w")
    weights.external_data.add(key="length", value=length)
    path = write(tmp_path / "m.onnx", weights=weights)
    if cut:
        assert "keeps its weights in w, which is cut short; copy both files again" in refusal(path)
    else:
        assert read_onnx_file(path).inputs[0].name == "images"


@pytest.mark.parametrize("inside", ["graph", "branch", "constant", "function", "sparse"])
def test_the_refusals_hold_wherever_a_tensor_may_be(inside: str, tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx")
    model = onnx.load(path)
    constant = helper.make_node("Constant", [], ["c"], value=outside("/etc/passwd"))
    if inside == "graph":
        model.graph.initializer.append(outside("/etc/passwd"))
    elif inside == "branch":
        branch = helper.make_graph([], "branch", [], [], [outside("/etc/passwd")])
        model.graph.node.append(helper.make_node("If", ["sum"], ["c"], then_branch=branch, else_branch=branch))
    elif inside == "constant":
        model.graph.node.append(constant)
    elif inside == "function":
        model.functions.append(helper.make_function("ai.onnx", "F", [], ["c"], [constant], model.opset_import))
    else:
        model.graph.sparse_initializer.add(values=outside("/etc/passwd"))
    path.write_bytes(model.SerializeToString())
    assert "keeps weights in '/etc/passwd', outside its folder" in refusal(path)


def test_operators_that_are_not_part_of_onnx_are_refused(tmp_path: Path) -> None:
    node = helper.make_node("RunShell", ["images"], ["sum"], domain="my.plugins")
    assert "needs the operator 'RunShell' of 'my.plugins', which is not part of ONNX" in refusal(
        write(tmp_path / "m.onnx", node=node)
    )


@pytest.mark.parametrize("dims", [[1 << 20, 1 << 20], [-1, 4]])
def test_tensors_larger_than_any_models_are_refused(dims: list[int], tmp_path: Path) -> None:
    huge = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=dims)
    assert f"a tensor of shape {dims}, larger than any model's" in refusal(write(tmp_path / "m.onnx", weights=huge))


def test_a_network_is_given_to_onnx_runtime_as_a_path_or_as_its_content(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    assert NetworkFile(path).given == str(path)
    assert NetworkFile(path, b"network").given == b"network"
