"""The numbers of Lightning Pose, number for number: its models, its video, its files, through the real pipeline.

The whole video takes minutes, so that only ``FULL_PARITY=1`` in the environment runs it; without, the
first frames go through the pipeline, and single frames from all over the video through the models alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.video_file import VideoFile
from realtime_cropzoom.types import Box, Keypoints

pytestmark = pytest.mark.slow

FRAMES = 75
FRAMES_AGAIN = 25
SAMPLED_EVERY = 113
WHOLE = 2330

MAX_PX, MAX_LIKELIHOOD = 1e-3, 1e-4
"""How far from Lightning Pose's own CSV."""
FAST_MAX_PX = 0.05
"""How far the fast decoder may be from the reference."""


def run(out: Path, *, skipped: int = 0, **flags: Any) -> Path:
    """Run the real pipeline in lockstep to the end of its frames, and return the folder it left."""
    pipeline = Pipeline(load_settings({"pace": "fast", "provider": "cpu", "publish": "none", "out": out, **flags}))
    pipeline.start()
    summary = pipeline.join()
    assert summary["problems"] == []
    assert summary["counts"]["processed"] == summary["counts"]["captured"] - skipped
    assert pipeline.folder is not None
    return pipeline.folder


def as_litpose(litpose: Path, shared_data: Path) -> Mapping[str, Any]:
    """The settings under which a run does what the commands did that made the golden files."""
    return {
        "source": str(shared_data / "openfield/videos/m3v1mp4.mp4"),
        "detector": str(litpose / "detector_0"),
        "pose": str(litpose / "pose_0"),
        "crop_size": 240,
        "min_likelihood": 0,
        "min_box": 0,
        "edge": "clamp",
        "decoder": "reference",
    }


def poses_in(path: Path) -> np.ndarray:
    """Return (frames, K, 3): x, y, likelihood."""
    table = pd.read_csv(path, header=[0, 1, 2], index_col=0)
    assert list(table.index) == list(range(len(table)))
    return table.to_numpy(np.float64).reshape(len(table), -1, 3)


def boxes_in(path: Path) -> list[Box]:
    return [Box(*map(int, row)) for row in pd.read_csv(path, index_col=0)[["x", "y", "w", "h"]].to_numpy()]


def assert_equals_golden(folder: Path, frames: int, litpose: Path) -> None:
    """Compare every keypoint and every box of a run's first ``frames`` frames."""
    poses, golden = poses_in(folder / "m3v1mp4.csv"), poses_in(litpose / "pose_0/video_preds/m3v1mp4.csv")
    assert len(poses) == frames
    off = np.abs(poses - golden[:frames])
    assert off[..., :2].max() <= MAX_PX
    assert off[..., 2].max() <= MAX_LIKELIHOOD
    golden_boxes = boxes_in(litpose / "detector_0/video_preds/m3v1mp4_bbox.csv")
    assert boxes_in(folder / "m3v1mp4_bbox.csv") == golden_boxes[:frames]


@pytest.fixture(scope="module")
def reference_run(litpose: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run over the first frames."""
    return run(tmp_path_factory.mktemp("reference"), frames=FRAMES, **as_litpose(litpose, shared_data))


def test_poses_and_boxes_are_those_of_litpose_predict(reference_run: Path, litpose: Path) -> None:
    assert_equals_golden(reference_run, FRAMES, litpose)


def test_the_header_rows_are_those_of_litpose(reference_run: Path, litpose: Path) -> None:
    with (reference_run / "m3v1mp4.csv").open() as ours, (litpose / "pose_0/video_preds/m3v1mp4.csv").open() as theirs:
        assert [next(ours) for _ in range(3)] == [next(theirs) for _ in range(3)]


def test_with_a_detection_on_every_frame_each_box_is_its_frames_own(reference_run: Path) -> None:
    table = pd.read_csv(reference_run / "m3v1mp4_bbox.csv", index_col=0)
    assert list(table["box_frame"]) == list(table.index)
    assert (table["box_age_ms"] == 0).all()


def test_the_same_run_again_writes_the_same_bytes(
    reference_run: Path, litpose: Path, shared_data: Path, tmp_path: Path
) -> None:
    again = run(tmp_path, frames=FRAMES_AGAIN, **as_litpose(litpose, shared_data))
    for name in ("m3v1mp4.csv", "m3v1mp4_bbox.csv"):
        written = (again / name).read_bytes()
        assert written.count(b"\n") > FRAMES_AGAIN
        assert (reference_run / name).read_bytes().startswith(written)


def test_the_fast_decoder_is_within_a_twentieth_of_a_pixel(
    reference_run: Path, litpose: Path, shared_data: Path, tmp_path: Path
) -> None:
    """With boxes replayed, so that only poses can differ."""
    settings = {**as_litpose(litpose, shared_data), "decoder": "fast"}
    fast = run(tmp_path, frames=FRAMES_AGAIN, schedule=reference_run / "m3v1mp4_bbox.csv", **settings)
    off = poses_in(fast / "m3v1mp4.csv") - poses_in(reference_run / "m3v1mp4.csv")[:FRAMES_AGAIN]
    assert np.abs(off[..., :2]).max() <= FAST_MAX_PX


def test_a_replayed_box_file_writes_the_same_bytes(
    make_model: Callable[..., Path], make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """Tiny models, so that three whole runs are cheap: detected, detected again, and replayed."""
    settings: dict[str, Any] = {
        "source": str(make_video("clip.mp4", frames=90, codec="libx264")),
        "detector": str(make_model("detector", keypoints=["middle", "low"])),
        "pose": str(make_model("pose")),
        "crop_size": 60,
        "detector_every": 4,
    }
    first, second = run(tmp_path / "first", **settings), run(tmp_path / "second", **settings)
    replayed = run(tmp_path / "replayed", schedule=first / "clip_bbox.csv", **settings)
    for name in ("clip.csv", "clip_bbox.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
        assert (first / name).read_bytes() == (replayed / name).read_bytes()


@pytest.mark.skipif("FULL_PARITY" not in os.environ, reason="takes minutes; set FULL_PARITY=1 to run it")
@pytest.mark.timeout(3600)
def test_the_whole_video_is_that_of_litpose_predict(litpose: Path, shared_data: Path, tmp_path: Path) -> None:
    assert_equals_golden(run(tmp_path, **as_litpose(litpose, shared_data)), WHOLE, litpose)


CLIP = 150
ENDS = 10
"""Frames at either end of the clip that go through the context model; it takes a fifth of a second for each."""


def context_poses(litpose: Path, folder: Path, frames: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Run the context model over whole frames of the clip; return its poses, and Lightning Pose's."""
    rows = [f"{i},0,0,480,640" if i in frames else f"{i},,,," for i in range(CLIP)]
    (folder / "whole_bbox.csv").write_text("\n".join([",x,y,h,w", *rows]) + "\n")
    left = run(
        folder / "out",
        skipped=CLIP - len(frames),
        source=str(litpose / "clip.mp4"),
        pose=str(litpose / "context_0"),
        schedule=folder / "whole_bbox.csv",
        edge="clamp",
        decoder="reference",
        pose_threads=2,
    )
    return poses_in(left / "clip.csv"), poses_in(litpose / "context_0/video_preds/clip.csv")


def assert_equals(found: np.ndarray, golden: np.ndarray) -> None:
    off = np.abs(found - golden)
    assert off[..., :2].max() <= MAX_PX
    assert off[..., 2].max() <= MAX_LIKELIHOOD


def test_a_context_model_at_both_ends_of_a_video_is_that_of_litpose(litpose: Path, tmp_path: Path) -> None:
    """What lies between is skipped, so that two frames on either side of the gap see others than in the video."""
    frames = [*range(ENDS), *range(CLIP - ENDS, CLIP)]
    found, golden = context_poses(litpose, tmp_path, frames)
    assert_equals(found[: ENDS - 2], golden[: ENDS - 2])
    assert_equals(found[-ENDS + 2 :], golden[-ENDS + 2 :])
    assert np.isnan(found[ENDS:-ENDS]).all()
    for ends in (slice(0, 3), slice(-3, None)):
        assert (found[ends] == found[ends][0]).all()


@pytest.mark.skipif("FULL_PARITY" not in os.environ, reason="takes half a minute; set FULL_PARITY=1 to run it")
def test_a_context_model_is_that_of_litpose_on_every_frame(litpose: Path, tmp_path: Path) -> None:
    found, golden = context_poses(litpose, tmp_path, list(range(CLIP)))
    assert_equals(found, golden)


@pytest.fixture(scope="module")
def sampled(shared_data: Path) -> dict[int, np.ndarray]:
    """Frame index → RGB image."""
    source = VideoFile(shared_data / "openfield/videos/m3v1mp4.mp4")
    images = {}
    for index, captured in enumerate(source.frames()):
        if index % SAMPLED_EVERY == 0:
            images[index] = np.empty((captured.height, captured.width, 3), np.uint8)
            captured.copy_to(images[index])
    source.close()
    assert index + 1 == WHOLE
    return images


def look(model: Model, image: np.ndarray, box: Box) -> Keypoints:
    model_input = model.new_input()
    used = model.prepare(image, box, "clamp", model_input)
    return model.decode(model.infer(model_input), used)


@pytest.mark.parametrize(
    ("boxes", "predictions"),
    [
        pytest.param("detector_0", "pose_0", id="boxes of one size"),
        pytest.param("crop_ratio/detector_0", "crop_ratio/pose_0", id="boxes that follow the animal's span"),
    ],
)
def test_poses_all_over_the_video_are_those_of_litpose(
    boxes: str, predictions: str, sampled: dict[int, np.ndarray], litpose: Path
) -> None:
    golden_boxes = boxes_in(litpose / boxes / "video_preds/m3v1mp4_bbox.csv")
    golden = poses_in(litpose / predictions / "video_preds/m3v1mp4.csv")
    model = Model(litpose / "pose_0", "pose", method="reference")
    for index, image in sampled.items():
        found = look(model, image, golden_boxes[index])
        assert np.abs(found.xy - golden[index, :, :2]).max() <= MAX_PX, index
        assert np.abs(found.likelihood - golden[index, :, 2]).max() <= MAX_LIKELIHOOD, index


def test_detections_all_over_the_video_are_those_of_litpose(sampled: dict[int, np.ndarray], litpose: Path) -> None:
    golden = poses_in(litpose / "detector_0/video_preds/m3v1mp4.csv")
    model = Model(litpose / "detector_0", "detector", method="reference")
    for index, image in sampled.items():
        found = look(model, image, Box(0, 0, image.shape[1], image.shape[0]))
        assert np.abs(found.xy - golden[index, :, :2]).max() <= MAX_PX, index
        assert np.abs(found.likelihood - golden[index, :, 2]).max() <= MAX_LIKELIHOOD, index


def test_the_fast_decoder_reads_real_heatmaps_as_the_reference_does(
    sampled: dict[int, np.ndarray], litpose: Path
) -> None:
    reference = Model(litpose / "detector_0", "detector", method="reference")
    fast = Model(litpose / "detector_0", "detector", method="fast")
    for index, image in list(sampled.items())[::3]:
        whole = Box(0, 0, image.shape[1], image.shape[0])
        model_input = reference.new_input()
        view = reference.prepare(image, whole, "clamp", model_input)
        maps = reference.infer(model_input)
        expected, found = reference.decode(maps, view), fast.decode(maps, view)
        assert np.abs(found.xy - expected.xy).max() <= FAST_MAX_PX, index
        assert np.abs(found.likelihood - expected.likelihood).max() <= 1e-3, index


def test_a_batch_of_frames_gives_the_numbers_of_each_alone(sampled: dict[int, np.ndarray], litpose: Path) -> None:
    model = Model(litpose / "detector_0", "detector")
    assert model.session.batch is None
    inputs = []
    for image in list(sampled.values())[:5]:
        inputs.append(model.new_input())
        model.prepare(image, Box(0, 0, image.shape[1], image.shape[0]), "pad", inputs[-1])
    for together, model_input in zip(model.infer_many([[x] for x in inputs]), inputs, strict=True):
        assert np.array_equal(together[0], model.infer(model_input)[0])
