"""The network that takes an image sees what ``crop.fill_input`` would have given it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.crop import fill_input
from realtime_cropzoom.inference.image_graph import IMAGE, NetworkInput, read_input, with_image_input
from realtime_cropzoom.inference.normalise import IMAGENET, values_of
from realtime_cropzoom.inference.onnx_file import NetworkFile

SIZE = (48, 32)
"""W, H of the network's input."""


def network(path: Path) -> NetworkFile:
    return NetworkFile(path, image_input=IMAGENET)


def write_echo(path: Path, shape: list[int | str], number: int = TensorProto.FLOAT, opset: int = 17) -> Path:
    """Write a network that returns its input."""
    values = [helper.make_tensor_value_info(name, number, shape) for name in ("images", "seen")]
    graph = helper.make_graph([helper.make_node("Identity", ["images"], ["seen"])], "echo", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    path = write_echo(tmp_path_factory.mktemp("echo") / "echo.onnx", ["N", 3, SIZE[1], SIZE[0]])
    graph = with_image_input(network(path))
    assert graph is not None
    return onnxruntime.InferenceSession(graph.content, providers=["CPUExecutionProvider"])


@given(height=st.integers(1, 130), width=st.integers(1, 130), seed=st.integers(0, 9))
def test_the_network_sees_the_pixels_that_the_cpu_would_prepare(
    height: int, width: int, seed: int, echo: onnxruntime.InferenceSession
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    expected = np.empty((3, SIZE[1], SIZE[0]), np.float32)
    fill_input(pixels, expected, "reference", values_of(IMAGENET))
    (seen,) = echo.run(None, {IMAGE: pixels[None]})
    assert np.abs(seen[0] - expected).max() < 1e-4 / 0.224  # a hundredth of a gray level, normalised, is 1.7e-4


def test_an_image_of_the_networks_size_is_not_resized(echo: onnxruntime.InferenceSession) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    expected = np.empty((3, SIZE[1], SIZE[0]), np.float32)
    fill_input(pixels, expected, "fast", values_of(IMAGENET))
    (seen,) = echo.run(None, {IMAGE: pixels[None]})
    np.testing.assert_allclose(seen[0], expected, atol=1e-6)


def test_a_network_in_half_precision_gets_its_input_so(tmp_path: Path) -> None:
    path = write_echo(tmp_path / "half.onnx", [1, 3, SIZE[1], SIZE[0]], TensorProto.FLOAT16)
    graph = with_image_input(network(path))
    assert graph is not None
    assert graph.own_input == NetworkInput([1, 3, SIZE[1], SIZE[0]], "tensor(float16)")
    session = onnxruntime.InferenceSession(graph.content, providers=["CPUExecutionProvider"])
    (seen,) = session.run(None, {IMAGE: np.zeros((1, 5, 7, 3), np.uint8)})
    assert seen.dtype == np.float16


@pytest.mark.parametrize(
    ("shape", "number", "opset"),
    [
        pytest.param(["N", 5, 3, 32, 48], TensorProto.FLOAT, 17, id="a context model"),
        pytest.param(["N", 3, "height", "width"], TensorProto.FLOAT, 17, id="a size that is left open"),
        pytest.param([1, 1, 32, 48], TensorProto.FLOAT, 17, id="a gray image"),
        pytest.param([1, 3, 32, 48], TensorProto.UINT8, 17, id="an input of another type"),
        pytest.param([1, 3, 32, 48], TensorProto.FLOAT, 12, id="an old set of operators"),
    ],
)
def test_another_input_stays_as_it_is(shape: list[int | str], number: int, opset: int, tmp_path: Path) -> None:
    assert with_image_input(network(write_echo(tmp_path / "other.onnx", shape, number, opset))) is None


def test_a_network_of_several_inputs_stays_as_it_is(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("a", "b", "sum")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["sum"])], "add", values[:2], values[2:])
    onnx.save(helper.make_model(graph), tmp_path / "add.onnx")
    assert with_image_input(network(tmp_path / "add.onnx")) is None
    assert read_input(network(tmp_path / "add.onnx")) is None


def test_a_file_that_is_no_model_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelError, match=r"text\.onnx cannot be loaded as an ONNX model: [^\n]+\Z"):
        with_image_input(network(tmp_path / "text.onnx"))
