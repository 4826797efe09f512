"""One frame, shown to a model as a run would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from support.described import write_described
from support.films import Footage

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.makers.maker import Settings
from realtime_cropzoom.inference.manifest import LitposeHeatmaps, SimCC
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.offline.model_frame import Look, look, other_order_note, read_frame
from realtime_cropzoom.types import Box, Keypoints


def test_a_number_after_the_file_names_the_frame(make_video: Callable[..., Path], footage: Footage) -> None:
    video = make_video(frames=6)
    first, fifth = read_frame(str(video)), read_frame(f"{video}:5")
    assert (first.index, fifth.index) == (0, 5)
    assert fifth.source == str(video)
    assert np.abs(fifth.image.astype(int) - footage.draw(5)).mean() < 10
    with pytest.raises(SourceError, match=r"clip.mp4 has no frame 6; give a lower number"):
        read_frame(f"{video}:6")


def test_a_file_whose_name_ends_like_a_number_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png:3"
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 8, 3), 7, np.uint8))
    assert read_frame(str(path)).image[0, 0, 0] == 7  # frame 3 of an image is the image
    (tmp_path / "b.png:3").write_bytes((tmp_path / "a.png").read_bytes())
    assert read_frame(str(tmp_path / "b.png:3")).index == 0


def test_a_pose_model_sees_the_box_of_the_detector(tmp_path: Path, footage: Footage) -> None:
    pose = Model(write_described(tmp_path / "pose.onnx"))
    detector = Model(write_described(tmp_path / "detector.onnx", role="detector"))
    seen = look(pose, footage.draw(5), detector, BoxRule(crop_size=64))
    assert seen.box is not None
    assert (seen.box.w, seen.box.h) == (64, 64)
    assert np.abs(seen.found.xy[0] - footage.blob_at(5)).max() < 4
    assert seen.notes == ()
    assert look(detector, footage.draw(5), None, None).box is None


def test_without_an_animal_the_middle_is_shown_and_said(tmp_path: Path, footage: Footage) -> None:
    pose = Model(write_described(tmp_path / "pose.onnx"))
    detector = Model(write_described(tmp_path / "detector.onnx", role="detector"))
    image = footage.draw(5)
    seen = look(pose, image, detector, BoxRule(crop_size=64, min_likelihood=2.0))
    assert seen.box == Box((image.shape[1] - 64) // 2, (image.shape[0] - 64) // 2, 64, 64)
    assert seen.notes == ("the detector finds no animal in this frame: the box is the middle of the frame",)


@pytest.mark.parametrize(("other", "clear"), [(0.9, True), (0.52, False), (0.3, False)])
def test_the_other_order_of_colours_is_named_if_it_scores_clearly_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: float, clear: bool
) -> None:
    model, image = Model(write_described(tmp_path / "pose.onnx")), np.zeros((64, 64, 3), np.uint8)
    seen = Look(Keypoints(np.zeros((3, 2), np.float32), np.full(3, 0.5, np.float32)), None)
    assert isinstance(model.manifest.decoder, LitposeHeatmaps)
    assert other_order_note(model, Settings(), image, seen) == ""
    model.manifest = msgspec.structs.replace(model.manifest, decoder=SimCC(), assumed=("colours",))
    asked = []

    def predict(self: Model, *_: object) -> Keypoints:
        asked.append(self.manifest.input.channels)
        return Keypoints(seen.found.xy, np.full(3, other, np.float32))

    monkeypatch.setattr(Model, "predict_still", predict)
    note = other_order_note(model, Settings(), image, seen)
    assert asked == ["bgr"]
    assert ("input.channels=bgr" in note) == clear
    assert note.startswith("colour order: ")
