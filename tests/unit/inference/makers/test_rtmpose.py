"""RTMPose: a file that says nothing of itself is known by its outputs. No file of MMDeploy is needed for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.linear_network import linear_network

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.makers.maker import Settings
from realtime_cropzoom.inference.makers.names import COCO
from realtime_cropzoom.inference.manifest import Affine, SimCC
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.types import Box

NAMES = ("a", "b", "c")
SIZE = (48, 64)


def bins(number: int, *places: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias of an output that is highest at one bin for each keypoint."""
    bias = np.full((len(places), number), 0.1)
    bias[range(len(places)), list(places)] = 0.5
    return np.zeros((3, *bias.shape)), bias


def rtmpose(folder: Path, **changed: Any) -> Path:
    """A file like MMDeploy's, whose network sees three keypoints at the same places of any picture."""
    path = folder / "end2end.onnx"
    options: dict[str, Any] = {
        "size": SIZE,
        "outputs": {"simcc_x": bins(96, 0, 48, 95), "simcc_y": bins(128, 127, 64, 0)},
        "batch": "batch",
        "declared": {"simcc_x": ("batch", "x_dim_1", 96), "simcc_y": ("batch", "y_dim_1", 128)},
    }
    onnx.save(linear_network(**{**options, **changed}), path)
    return path


def described(path: Path) -> Model:
    return Model(path, settings=Settings(NAMES))


def test_a_file_is_known_by_its_outputs(tmp_path: Path) -> None:
    manifest = described(rtmpose(tmp_path)).manifest
    assert (manifest.maker, manifest.role) == ("RTMPose", "pose")
    assert manifest.keypoint_names == NAMES
    assert (manifest.input.size, manifest.input.channels) == (SIZE, "bgr")
    assert manifest.geometry == Affine(1.25)
    assert manifest.decoder == SimCC(2.0)
    assert any("BGR" in sentence for sentence in manifest.assumed)


def test_keypoints_are_mapped_from_the_widened_box(tmp_path: Path) -> None:
    """A box of 60 x 60 grows to 75 x 75, and then to 75 x 100: its corner is at (-7.5, -20) beside the box's."""
    found = described(rtmpose(tmp_path)).predict_still(np.zeros((200, 200, 3), np.uint8), Box(50, 40, 60, 60))
    step = 75 / 48
    np.testing.assert_allclose(found.xy[:, 0], [42.5, 42.5 + 24 * step, 42.5 + 47.5 * step], atol=1e-4)
    np.testing.assert_allclose(found.xy[:, 1], [20 + 63.5 * step, 20 + 32 * step, 20], atol=1e-4)
    np.testing.assert_allclose(found.likelihood, [0.5, 0.5, 0.5])


def test_the_number_of_keypoints_follows_from_the_operators_where_the_file_leaves_it_open(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has 3 keypoints without names\. Give them in order with --keypoints"):
        Model(rtmpose(tmp_path))
    with pytest.raises(ModelError, match="has 3 keypoints, but 2 names were given"):
        Model(rtmpose(tmp_path), settings=Settings(("a", "b")))


def test_weights_that_an_old_exporter_lists_before_the_picture_do_no_harm(tmp_path: Path) -> None:
    path = rtmpose(tmp_path)
    network = onnx.load(path)
    picture = network.graph.input.pop()
    weights = [
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in network.graph.initializer
    ]
    network.graph.input.extend([*weights, picture])
    onnx.save(network, path)
    assert described(path).keypoint_names == NAMES


@pytest.mark.parametrize("error", [ValueError, RuntimeError, onnx.shape_inference.InferenceError])
def test_a_number_that_cannot_be_inferred_is_asked_for(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(proto: onnx.ModelProto, data_prop: bool) -> onnx.ModelProto:
        raise error("no shape")

    monkeypatch.setattr("onnx.shape_inference.infer_shapes", fail)
    with pytest.raises(ModelError, match="does not say how many keypoints it has"):
        Model(rtmpose(tmp_path))


def test_names_that_the_network_does_not_fit_are_refused_after_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not even the operators tell the number."""
    monkeypatch.setattr("onnx.shape_inference.infer_shapes", lambda proto, data_prop: proto)
    path = rtmpose(tmp_path)
    with pytest.raises(ModelError, match=r"does not say how many keypoints it has\. Give their names in order"):
        Model(path)
    with pytest.raises(ModelError, match=r"gives an output of shape \[.*, 3, 96\]; .* gives \(N, 2, 96\)"):
        Model(path, settings=Settings(("a", "b")))
    assert described(path).keypoint_names == NAMES


def test_seventeen_keypoints_are_those_of_coco(tmp_path: Path) -> None:
    outputs = {"simcc_x": bins(96, *range(17)), "simcc_y": bins(128, *range(17))}
    manifest = Model(rtmpose(tmp_path, outputs=outputs)).manifest
    assert manifest.keypoint_names == COCO
    assert any("COCO" in sentence for sentence in manifest.assumed)


def test_it_is_no_detector(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a pose model, but was given as the detector"):
        Model(rtmpose(tmp_path), "detector", settings=Settings(NAMES))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        pytest.param({"size": ("width", "height")}, r"expected one picture \(N, 3, H, W\) of a fixed size", id="open"),
        pytest.param(
            {"outputs": {"simcc_x": bins(96, 0), "simcc_y": bins(96, 0)}, "declared": {}},
            "as many bins per column as per row",
            id="other bins",
        ),
        pytest.param(
            {"outputs": {"simcc_x": bins(96, 0), "simcc_y": (np.zeros((3, 128)), np.zeros(128))}, "declared": {}},
            r"RTMPose has \(N, keypoints, bins\) twice",
            id="one axis",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_line(changed: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=says) as refusal:
        described(rtmpose(tmp_path, **changed))
    assert "\n" not in str(refusal.value)


def test_a_network_with_other_outputs_is_not_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="carries no cropzoom metadata"):
        described(rtmpose(tmp_path, outputs={"simcc_x": bins(96, 0)}, declared={}))
