"""``cropzoom models`` on files of each maker: it says what they are, and writes files that give the same keypoints."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.offline_fixtures import Workplace
from support.places import SHARED_DATA

from realtime_cropzoom.inference.boxes import whole_image
from realtime_cropzoom.inference.makers.maker import Settings
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.offline.model_frame import read_frame
from realtime_cropzoom.types import Box, UInt8

FOREIGN, CLIP = SHARED_DATA / "foreign", SHARED_DATA / "litpose" / "openfield" / "clip.mp4"
NAMES = "snout,leftear,rightear,tailbase"
FILES = {
    "sleap/centroid": "SLEAP",
    "sleap/centered_instance": "SLEAP",
    "sleap/single_instance": "SLEAP",
    "deeplabcut/bottom_up.onnx": "DeepLabCut",
    "deeplabcut/top_down_rtmpose.onnx": "DeepLabCut",
    "ultralytics/yolo11_default.onnx": "Ultralytics",
    "ultralytics/yolo11_dynamic.onnx": "Ultralytics",
    "ultralytics/yolo26_nms_false_end2end.onnx": "Ultralytics",
    "rtmpose/rtmpose_tiny_192x256.onnx": "RTMPose",
}
FRAMES = (0, 20, 39)


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.chdir(tmp_path)
    return Workplace(tmp_path, capfd)


def given(place: str) -> Path:
    if not (FOREIGN / place).exists() or not CLIP.exists():
        pytest.skip(f"the file is not at {FOREIGN / place}")
    return FOREIGN / place


def named(place: str) -> tuple[str, ...]:
    return ("--keypoints", NAMES) if place.startswith("rtmpose") else ()


def keypoints(model: Model, image: UInt8) -> np.ndarray:
    manifest = model.manifest
    whole = manifest.whole_frame or manifest.role == "detector"
    found = model.predict_still(image, whole_image(image) if whole else Box(90, -10, 240, 240))
    return np.column_stack([found.xy, found.likelihood])


@pytest.mark.parametrize("place", FILES)
def test_it_says_who_made_a_file_and_draws_what_it_finds(work: Workplace, place: str) -> None:
    path = given(place)
    done = work.did("models", path, "--frame", f"{CLIP}:30", "--out", "frame.png", *named(place))
    assert f"  maker       {FILES[place]}" in done.out
    keypoint = "centroid" if "centroid" in place else "snout"
    assert f"              {keypoint}" in done.out
    drawn = cv2.imread("frame.png")
    assert drawn is not None
    assert drawn.shape == (1000, 1280, 3)


@pytest.mark.parametrize("place", FILES)
def test_the_imported_file_gives_the_keypoints_of_the_original(work: Workplace, place: str) -> None:
    path, out = given(place), work.folder / "mine.onnx"
    work.did("models", "import", path, "--out", out, *named(place))
    settings = Settings(tuple(NAMES.split(","))) if named(place) else None
    original, imported = Model(path, settings=settings), Model(out)
    assert imported.manifest.keypoint_names == original.manifest.keypoint_names
    for index in FRAMES:
        image = read_frame(f"{CLIP}:{index}").image
        np.testing.assert_array_equal(keypoints(imported, image), keypoints(original, image))
