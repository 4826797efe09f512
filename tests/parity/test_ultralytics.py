"""YOLO-pose against ``YOLO.predict`` of Ultralytics 8.4.190: the best row of each frame, for every form of export."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.foreign import FRAMES, clip_of, table

from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.types import Box, Keypoints

pytestmark = pytest.mark.slow

NAMES = ("snout", "leftear", "rightear", "tailbase")
MAX_PX, MAX_SCORE = 1e-4, 1e-6
"""The same network, run by the same library: only the last bits of the map to the frame may differ."""
MAX_TORCH_SCORE = 1e-5
"""The checkpoint itself, run by torch."""


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    folder = shared_data / "foreign/ultralytics"
    if not folder.is_dir():
        pytest.skip(f"the models of Ultralytics are not at {folder}")
    return folder


@pytest.fixture(scope="module")
def predict(folder: Path, shared_data: Path) -> Callable[[str], list[Keypoints]]:
    """What a network of the folder finds in each frame; each network runs once."""
    clip = clip_of(shared_data)

    @cache
    def run(network: str) -> list[Keypoints]:
        model = Model(folder / f"{network}.onnx")
        model.make_ready((640, 480))
        assert model.size == ((320, 256) if "dynamic" in network else (320, 320))
        assert model.keypoint_names == NAMES
        return [model.predict_still(image, Box(0, 0, 640, 480)) for image in clip]

    return run


def best_rows(path: Path) -> dict[int, dict[str, str]]:
    """Frame → its first row, which is the best one."""
    return {int(row["frame"]): row for row in reversed(table(path))}


@pytest.mark.parametrize(
    ("network", "golden", "found_in", "max_score"),
    [
        pytest.param("yolo11_default", "yolo11_onnx", 40, MAX_SCORE, id="raw"),
        pytest.param("yolo11_default", "yolo11_onnx_conf005", 40, MAX_SCORE, id="raw, other rows at 0.05"),
        pytest.param("yolo11_default", "yolo11_onnx_conf001", 40, MAX_SCORE, id="raw, other rows at 0.01"),
        pytest.param("yolo11_nms", "yolo11_nms_onnx", 40, MAX_SCORE, id="NMS inside"),
        pytest.param("yolo11_nms", "yolo11_nms_onnx_conf005", 40, MAX_SCORE, id="NMS inside, other rows at 0.05"),
        pytest.param("yolo11_dynamic", "yolo11_dynamic_onnx", 40, MAX_SCORE, id="any size"),
        pytest.param("yolo11_dynamic", "yolo11_pt", 40, MAX_TORCH_SCORE, id="any size, and the checkpoint"),
        pytest.param("yolo11_default", "yolo11_pt_rect_false", 40, MAX_TORCH_SCORE, id="the checkpoint, square"),
        pytest.param("yolo26_default", "yolo26_onnx", 40, MAX_SCORE, id="26 raw"),
        pytest.param("yolo26_default", "yolo26_pt_rect_false", 40, MAX_TORCH_SCORE, id="26 and the checkpoint"),
        pytest.param("yolo26_nms_true", "yolo26_nms_onnx", 40, MAX_SCORE, id="26 with NMS inside"),
        pytest.param("yolo26_nms_false_end2end", "yolo26_end2end_onnx", 39, MAX_SCORE, id="26 end to end"),
        pytest.param(
            "yolo26_nms_false_end2end", "yolo26_pt_rect_false_nms_false", 39, MAX_TORCH_SCORE, id="and the checkpoint"
        ),
    ],
)
def test_the_best_row_is_that_of_ultralytics(
    network: str, golden: str, found_in: int, max_score: float, folder: Path, predict: Callable[[str], list[Keypoints]]
) -> None:
    rows = best_rows(folder / f"goldens/{golden}.csv")
    assert len(rows) == found_in
    for number, found in enumerate(predict(network)):
        row = rows.get(number)
        if row is None:
            assert np.isnan(found.xy).all()
            assert found.corners is None
            continue
        values = {name: float(value) for name, value in row.items()}
        assert found.corners is not None
        np.testing.assert_allclose(found.corners.ravel(), [values[n] for n in ("x1", "y1", "x2", "y2")], atol=MAX_PX)
        np.testing.assert_allclose(found.xy, [[values[f"{n}_x"], values[f"{n}_y"]] for n in NAMES], atol=MAX_PX)
        np.testing.assert_allclose(found.likelihood, [values[f"{n}_v"] for n in NAMES], atol=max_score)


def test_a_square_export_sees_another_picture_than_the_checkpoint(
    folder: Path, predict: Callable[[str], list[Keypoints]]
) -> None:
    """The checkpoint is shown less padding: the two differ by pixels, in Ultralytics itself, too."""
    rows = best_rows(folder / "goldens/yolo11_pt.csv")
    theirs = [[[float(rows[i][f"{n}_x"]), float(rows[i][f"{n}_y"])] for n in NAMES] for i in range(FRAMES)]
    assert 1 < np.abs(np.array([found.xy for found in predict("yolo11_default")]) - theirs).max() < 3


@pytest.mark.parametrize(
    ("network", "golden", "confidence"),
    [
        pytest.param("yolo11_default", "yolo11_onnx_conf005", 0.05, id="raw"),
        pytest.param("yolo11_default", "yolo11_onnx_conf001", 0.01, id="raw, as many as possible"),
        pytest.param("yolo11_nms", "yolo11_nms_onnx_conf005", 0.05, id="NMS inside"),
        pytest.param("yolo26_nms_false_end2end", "yolo26_end2end_onnx", 0.25, id="26 end to end"),
    ],
)
def test_all_rows_are_those_of_ultralytics(
    network: str, golden: str, confidence: float, folder: Path, shared_data: Path
) -> None:
    """Several animals: the same rows in the same order, after the same suppression."""
    model = Model(folder / f"{network}.onnx")
    model.manifest = msgspec.structs.replace(
        model.manifest, decoder=msgspec.structs.replace(model.manifest.decoder, confidence=confidence)
    )
    rows, several = table(folder / f"goldens/{golden}.csv"), 0
    for number, image in enumerate(clip_of(shared_data)):
        model_input = model.new_input()
        view = model.prepare(image, Box(0, 0, 640, 480), "pad", model_input)
        found = model.decode_all(model.infer(model_input), view)
        theirs = [row for row in rows if int(row["frame"]) == number]
        several += len(theirs) > 1
        assert [one.score for one in found] == pytest.approx([float(row["conf"]) for row in theirs], abs=MAX_SCORE)
        for one, row in zip(found, theirs, strict=True):
            xy = [[float(row[f"{name}_x"]), float(row[f"{name}_y"])] for name in NAMES]
            np.testing.assert_allclose(one.keypoints.xy, xy, atol=MAX_PX)
    assert several > 0
