"""SLEAP's models against the predictions that sleap-nn made of the same video with the same models.

``sleap-nn predict`` refines peaks; the file alone gives peaks on a grid. Both are reproduced, on the first 40 frames.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from support.offline_fixtures import first_packets, poses_in, run_here

from realtime_cropzoom.inference.boxes import BoxRule, whole_image
from realtime_cropzoom.inference.manifest import ConfidenceMaps, Role
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.types import Keypoints, UInt8

pytestmark = pytest.mark.slow

FRAMES, MORE = 40, 6
MAX_PX, MAX_SCORE = 1e-4, 1e-5
"""Greatest differences that are allowed: 500 times less than anybody could see."""
Poses = list[dict[str, tuple[float, float, float]]]
"""Keypoints of each frame by name: x, y (frame pixels) and score; NaN for a keypoint that is absent."""


@pytest.fixture(scope="module")
def sleap(shared_data: Path) -> Path:
    folder = shared_data / "foreign" / "sleap"
    if not folder.is_dir():
        pytest.skip(f"the models of SLEAP are not at {folder}")
    return folder


@pytest.fixture(scope="module")
def clip(litpose: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_packets(litpose / "clip.mp4", tmp_path_factory.mktemp("clip") / "clip.mp4", FRAMES + MORE)


@pytest.fixture(scope="module")
def frames(clip: Path) -> list[UInt8]:
    video = cv2.VideoCapture(str(clip))
    return [np.ascontiguousarray(video.read()[1][..., ::-1]) for _ in range(FRAMES)]


def golden(sleap: Path, name: str) -> Poses:
    """The animal with the highest score of each frame; sleap-nn also gives a false one, of score 0.24."""
    animals: dict[int, dict[str, dict[str, tuple[float, float, float]]]] = {}
    scores: dict[tuple[int, str], float] = {}
    with (sleap / "goldens" / f"{name}.csv").open() as file:
        for row in csv.DictReader(file):
            frame, animal = int(row["frame"]), row["instance"]
            numbers = (float(row["x"] or "nan"), float(row["y"] or "nan"), float(row["score"] or 0))
            animals.setdefault(frame, {}).setdefault(animal, {})[row["keypoint"]] = numbers
            scores[frame, animal] = float(row["instance_score"])
    best = [max(animals[frame], key=lambda animal: scores[frame, animal]) for frame in range(FRAMES)]
    return [animals[frame][animal] for frame, animal in enumerate(best)]


def named(model: Model, found: Keypoints) -> dict[str, tuple[float, float, float]]:
    numbers = np.column_stack([found.xy, found.likelihood]).tolist()
    return {name: (x, y, score) for name, (x, y, score) in zip(model.keypoint_names, numbers, strict=True)}


def assert_same(ours: Poses, theirs: Poses) -> None:
    """Every frame and every keypoint: absent in both, or at the same place with the same score."""
    for frame, (found, expected) in enumerate(zip(ours, theirs, strict=True)):
        assert found.keys() == expected.keys()
        for name, (x, y, score) in found.items():
            a, b, their_score = expected[name]
            assert math.isnan(x) == math.isnan(a), f"frame {frame}: {name} is absent in one of them"
            if not math.isnan(x):
                assert math.hypot(x - a, y - b) <= MAX_PX, f"frame {frame}: {name}"
            assert abs(score - their_score) <= MAX_SCORE, f"frame {frame}: {name}"


def load(path: Path, role: Role | None = None, *, refined: bool = True) -> Model:
    model = Model(path, role)
    if not refined:
        decoder = ConfidenceMaps(threshold=0.2, refinement="none")
        model.manifest = msgspec.structs.replace(model.manifest, decoder=decoder)
    return model


def of_whole_frames(model: Model, frames: list[UInt8]) -> Poses:
    return [named(model, model.predict_still(image, whole_image(image))) for image in frames]


@pytest.mark.parametrize("refined", [True, False], ids=["integral", "none"])
@pytest.mark.parametrize("kind", ["centroid", "single_instance"])
def test_models_of_whole_frames(sleap: Path, frames: list[UInt8], kind: str, refined: bool) -> None:
    name = f"{kind.removesuffix('_instance')}_{'integral' if refined else 'none'}"
    model = load(sleap / kind / "model.onnx", refined=refined)
    assert_same(of_whole_frames(model, frames), golden(sleap, name))


@pytest.mark.parametrize("refined", [True, False], ids=["integral", "none"])
@pytest.mark.parametrize("combined", [False, True], ids=["two files", "one file"])
def test_top_down(sleap: Path, frames: list[UInt8], refined: bool, combined: bool) -> None:
    detector = load(sleap / ("topdown" if combined else "centroid"), "detector", refined=refined)
    pose = load(sleap / ("topdown" if combined else "centered_instance"), "pose", refined=refined)
    rule = BoxRule(pose.trained_crop_size, unrounded=pose.manifest.unrounded)
    ours = []
    for image in frames:
        box = rule.box(detector.predict_still(image, whole_image(image)))
        assert box is not None
        ours.append(named(pose, pose.predict_still(image, box)))
    assert_same(ours, golden(sleap, f"topdown_{'integral' if refined else 'none'}"))


def test_the_combined_file_as_it_is(sleap: Path, frames: list[UInt8]) -> None:
    """sleap-nn's own ONNX path takes R for gray. 8 frames: the file runs its pose network 20 times on each."""
    few = [np.repeat(image[..., :1], 3, axis=2) for image in frames[:8]]
    assert_same(of_whole_frames(load(sleap / "topdown"), few), golden(sleap, "onnx_topdown")[: len(few)])


@pytest.mark.parametrize("kind", ["centroid", "single_instance"])
def test_peaks_of_the_file_as_it_is(
    sleap: Path, frames: list[UInt8], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_cropzoom.inference.makers.sleap.cut", lambda *arguments: None)
    model = load(sleap / kind)
    assert "keypoints lie on a grid of 4 px" in model.manifest.assumed[0]
    gray = [np.repeat(image[..., :1], 3, axis=2) for image in frames]
    assert_same(of_whole_frames(model, gray), golden(sleap, f"onnx_{kind.removesuffix('_instance')}"))


@pytest.mark.parametrize("kind", ["centroid", "single_instance", "centered_instance"])
def test_frames_of_another_size_move_nothing(sleap: Path, frames: list[UInt8], kind: str) -> None:
    """The file alone squeezes any frame to the size of its export."""
    model = load(sleap / kind)
    wide = np.zeros((530, 800, 3), np.uint8)
    wide[:480, :640] = frames[0]
    one, other = (model.predict_still(image, whole_image(image)) for image in (frames[0], wide))
    sure = one.likelihood > 0.5  # keypoints of a model that was trained on crops may be anywhere else
    np.testing.assert_allclose(other.xy[sure], one.xy[sure], atol=0.5)


MODELS = ("centroid", "centered_instance")


def table(path: Path) -> Poses:
    """The poses in a CSV file."""
    names = ("snout", "leftear", "rightear", "tailbase")
    return [dict(zip(names, map(tuple, row), strict=True)) for row in poses_in(path).tolist()]


def session(sleap: Path, clip: Path, out: Path, *more: object) -> Path:
    """The CSV file of a run from the command line."""
    models = ("--detector", sleap / MODELS[0], "--pose", sleap / MODELS[1])
    assert run_here("run", clip, *models, "--out", out, "--publish", "none", *more) == 0
    (found,) = out.glob("*/clip.csv")
    return found


def test_a_run_and_the_pipeline_write_the_poses_of_sleap(sleap: Path, clip: Path, tmp_path: Path) -> None:
    lockstep = session(sleap, clip, tmp_path / "run", "--pace", "fast", "--frames", FRAMES)
    models = ("--detector", sleap / MODELS[0], "--pose", sleap / MODELS[1])
    assert run_here("pipeline", clip, *models, "--out", tmp_path / "offline", "--workers", 1, "--skip-viz") == 0
    offline = tmp_path / "offline" / "clip.csv"
    assert poses_in(offline)[:FRAMES].tobytes() == poses_in(lockstep).tobytes(), "bit for bit"
    assert_same(table(lockstep), golden(sleap, "topdown_integral"))


def test_live_poses_are_those_of_the_recording_with_the_boxes_of_the_run(
    sleap: Path, clip: Path, tmp_path: Path
) -> None:
    live = session(sleap, clip, tmp_path / "live", "--pace", "realtime", "--speed", 0.25, "--frames", 20)
    boxes = live.with_name("clip_bbox.csv")
    assert "." in boxes.read_text().splitlines()[-1].split(",")[1], "corners keep their fraction"
    models = ("--pose", sleap / MODELS[1], "--schedule", boxes)
    out = tmp_path / "again"
    assert run_here("run", clip, "--pace", "fast", *models, "--out", out, "--publish", "none", "--frames", 20) == 0
    (again,) = out.glob("*/clip.csv")
    assert poses_in(again).tobytes() == poses_in(live).tobytes(), "bit for bit"


@pytest.mark.parametrize("given", [("pose",), ("detector", "pose")], ids=" and ".join)
def test_the_combined_file_runs_as_detector_and_pose_model(
    sleap: Path, clip: Path, tmp_path: Path, given: tuple[str, ...]
) -> None:
    models = [word for name in given for word in (f"--{name}", sleap / "topdown")]
    out = ("--out", tmp_path, "--publish", "none", "--pace", "fast", "--frames", FRAMES)
    assert run_here("run", clip, *models, *out) == 0
    (found,) = tmp_path.glob("*/clip.csv")
    assert_same(table(found), golden(sleap, "topdown_integral"))


def test_whole_frames_need_no_detector(sleap: Path, clip: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path, "--publish", "none", "--pace", "fast", "--frames", FRAMES)
    assert run_here("run", clip, "--pose", sleap / "single_instance", *out) == 0
    (found,) = tmp_path.glob("*/clip.csv")
    assert_same(table(found), golden(sleap, "single_integral"))


def test_a_model_of_crops_without_a_detector_is_warned_of(
    sleap: Path, clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", tmp_path, "--publish", "none", "--pace", "fast", "--frames", 2)
    run_here("run", clip, "--detector", "none", "--pose", sleap / "centered_instance", *out)
    said = capfd.readouterr().err
    assert "was trained on boxes of 160 px, but sees whole frames of 640 px, since there is no detector" in said


@pytest.mark.parametrize("refined", [True, False], ids=["integral", "none"])
def test_all_centroids_of_a_frame(sleap: Path, frames: list[UInt8], refined: bool) -> None:
    """sleap-nn finds two in most of these frames; it lists them row by row, we the surest first."""
    model = load(sleap / "centroid", "detector", refined=refined)
    theirs: list[list[tuple[float, ...]]] = [[] for _ in frames]
    with (sleap / "goldens" / f"centroid_{'integral' if refined else 'none'}.csv").open() as file:
        for row in csv.DictReader(file):
            if int(row["frame"]) < len(frames):
                theirs[int(row["frame"])].append(tuple(float(row[name]) for name in ("x", "y", "score")))
    assert max(map(len, theirs)) > 1
    for image, expected in zip(frames, theirs, strict=True):
        model_input = model.new_input()
        view = model.prepare(image, whole_image(image), "pad", model_input)
        found = model.decode_all(model.infer(model_input), view)
        ours = [(*one.keypoints.xy[0].tolist(), one.score) for one in found]
        np.testing.assert_allclose(ours, sorted(expected, key=lambda one: -one[2]), atol=MAX_PX)
