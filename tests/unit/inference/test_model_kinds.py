"""Every kind of model Lightning Pose trains: heatmap, regression and context, in every precision and shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from support.models import ALONE, SEES

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.manifest import LitposeHeatmaps
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.types import Box, Float32, Keypoints, UInt8

Make = Callable[..., Path]
PRECISIONS = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16}
FRAME = (160, 120)


def spot(x: float, y: float) -> UInt8:
    """A gray frame with one bright spot."""
    cols, rows = np.meshgrid(np.arange(FRAME[0]), np.arange(FRAME[1]))
    image = 60 + 195 * np.exp(-((cols - x) ** 2 + (rows - y) ** 2) / (2 * 5.0**2))
    return np.repeat(image[..., None].round().astype(np.uint8), 3, axis=2)


def prepared(model: Model, image: UInt8, box: Box) -> Float32:
    model_input = model.new_input()
    assert model.prepare(image, box, "pad", model_input) == View.of(box, model.size)
    return model_input


def look(model: Model, box: Box, *images: UInt8) -> Keypoints:
    """What the model finds in one image, or for the middle one of five; one image stands for five like it."""
    window = images if len(images) == 2 * model.context_radius + 1 else images * (2 * model.context_radius + 1)
    return model.decode(model.infer(*(prepared(model, image, box) for image in window)), View.of(box, model.size))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("size", [(64, 64), (96, 64), (64, 96)], ids=str)
@pytest.mark.parametrize(
    ("kind", "levels"),
    [("heatmap", 1), ("heatmap", 2), ("heatmap", 3), ("regression", 2), *(("heatmap_mhcrnn", n) for n in (1, 2, 3))],
)
def test_a_model_of_any_kind_and_shape_finds_the_spot(
    kind: str, levels: int, size: tuple[int, int], precision: str, make_model: Make
) -> None:
    """In a box of another shape than the input, and not in its middle, where a flat map would have it too."""
    path = make_model("pose", ["middle"], kind=kind, levels=levels, size=size, input_type=PRECISIONS[precision])
    model = Model(path, "pose")
    assert model.size == size
    assert model.context_radius == (2 if kind == "heatmap_mhcrnn" else 0)
    found = look(model, Box(60, 30, 80, 72), spot(112, 52))
    assert found.xy[0] == pytest.approx([112, 52], abs=2 + (1 << levels) / 2)  # half a cell, and what the pooling blurs
    assert found.xy.dtype == found.likelihood.dtype == np.float32


@pytest.mark.parametrize("kind", ["heatmap", "regression", "heatmap_mhcrnn"])
def test_a_lightning_pose_directory_of_any_kind(kind: str, make_litpose_directory: Make) -> None:
    size = (96, 64)
    network = {"kind": kind, "size": size, "levels": 1, "input_type": TensorProto.FLOAT16}
    exports = ["best_fp16"]
    directory = make_litpose_directory(model_type=kind, size=size, levels=1, exports=exports, network=network)
    model = Model(directory, "pose")
    assert model.file.scorer == f"{kind}_tracker"
    assert look(model, Box(60, 30, 80, 72), spot(112, 52)).xy[0] == pytest.approx([112, 52], abs=4)


def test_coordinates_of_a_regression_model_are_mapped_to_the_frame_and_have_no_likelihood(make_model: Make) -> None:
    model = Model(make_model("pose", ["middle", "right"], kind="regression"), "pose")
    outputs = model.infer(prepared(model, spot(112, 52), Box(80, 20, 64, 64)))
    found = model.decode(outputs, View.of(Box(10, 20, 128, 32), (64, 64)))
    assert found.xy == pytest.approx(outputs[0].reshape(2, 2) * [2, 0.5] + [10, 20])
    assert np.isnan(found.likelihood).all()


def test_a_regression_model_with_coordinates_for_other_keypoints_is_refused(make_model: Make) -> None:
    path = make_model("pose", ["middle"], kind="regression", described={"keypoint_names": ("a", "b")})
    with pytest.raises(ModelError, match=r"a cropzoom regression model of 2 keypoints \(a, b\) gives \(N, 4\)"):
        Model(path, "pose")


def test_a_context_model_is_shown_five_frames_in_order(make_model: Make) -> None:
    """Each keypoint is looked for in a frame of its own, so that any other order is another answer."""
    model = Model(make_model("pose", list(SEES), kind="heatmap_mhcrnn"), "pose")
    spots = [(70 + 12 * i, 80 - 9 * i) for i in range(5)]
    found = look(model, Box(50, 20, 96, 80), *(spot(x, y) for x, y in spots))
    assert found.xy == pytest.approx(np.array(spots), abs=3.5)


def test_of_one_frame_and_of_five_the_more_likely_counts(make_model: Make) -> None:
    model = Model(make_model("pose", ["middle", ALONE, "after 2"], kind="heatmap_mhcrnn"), "pose")
    spots = [(70 + 12 * i, 80 - 9 * i) for i in range(5)]
    found = look(model, Box(50, 20, 96, 80), *(spot(x, y) for x, y in spots))
    assert found.xy == pytest.approx(np.array([spots[2], spots[2], spots[4]]), abs=3.5)
    assert (found.likelihood > 0.5).all()


@pytest.mark.parametrize(
    ("kind", "context", "says"),
    [
        pytest.param("heatmap", True, r"takes one image \(N, 5, 3, 64, 64\)", id="one frame"),
        pytest.param("heatmap_mhcrnn", False, r"takes one image \(N, 3, 64, 64\)", id="five frames"),
    ],
)
def test_a_network_of_another_kind_than_it_says_is_refused(
    kind: str, context: bool, says: str, make_model: Make
) -> None:
    with pytest.raises(ModelError, match=says):
        Model(make_model("pose", kind=kind, described={"decoder": LitposeHeatmaps(context=context)}), "pose")


def test_a_context_model_with_one_output_is_refused(make_model: Make) -> None:
    path = make_model("pose", kind="heatmap_mhcrnn")
    network = onnx.load(path)
    del network.graph.output[1]
    onnx.save(network, path)
    with pytest.raises(
        ModelError,
        match=r"gives 1 output; a cropzoom heatmap_mhcrnn model .* gives 2: .* export it again",
    ):
        Model(path, "pose")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("batch", [1, "N"])
@pytest.mark.parametrize("kind", ["heatmap", "regression", "heatmap_mhcrnn"])
def test_several_frames_in_one_go_give_the_numbers_of_each_alone(
    kind: str, batch: int | str, precision: str, make_model: Make
) -> None:
    shape = (batch, *((5,) if kind == "heatmap_mhcrnn" else ()), 3, 64, 64)
    model = Model(make_model(kind=kind, input_shape=shape, input_type=PRECISIONS[precision]), "pose")
    assert model.session.batch == (1 if batch == 1 else None)
    frames = [prepared(model, spot(80 + 4 * i, 50 + 3 * i), Box(50, 20, 96, 80)) for i in range(9)]
    windows = [frames[i : i + 2 * model.context_radius + 1] for i in range(5)]
    for together, window in zip(model.infer_many(windows), windows, strict=True):
        alone = model.infer(*window)
        assert len(together) == len(alone)
        assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))
    assert not np.array_equal(model.infer(*windows[0])[-1], model.infer(*windows[1])[-1])
