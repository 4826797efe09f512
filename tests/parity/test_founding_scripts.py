"""The scripts of Lightning Pose's cropzoom documentation, with our word, on its own example: taken from our page."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from support.pages import find_page
from support.places import ROOT

from realtime_cropzoom.sources.video_file import VideoFile

pytestmark = pytest.mark.slow

PAGE = find_page("accuracy.md")
"""The page with the measured errors."""
NAMES = ["snout", "leftear", "rightear", "tailbase"]
SIZE = 640, 480
FRAMES, SURE_FRAMES = 40, 35
"""How long the cut is, and how many of its frames are those of the recording: the last lack what comes after them."""
SIDE, LABELLED, NEW_EVERY = 240, 92, 10
MAX_PX = 1e-3

PREDICTED = [(name, coord) for name in NAMES for coord in ("x", "y", "likelihood")]
MODELS = "outputs/openfield/cropzoom"
"""The page's MODEL_DIR."""
QUICK = (
    "model.backbone=cropzoom_small training.max_epochs=1 cropzoom.views_per_epoch=16 "
    "data.image_resize_dims.height=96 data.image_resize_dims.width=96"
)
FOUND_OR_NOT = 'cropzoom() { command cropzoom "$@" || [ $? = 3 ]; }'
"""Models with next to no training find the animal in no frame: exit code 3, at which the page's scripts would end."""


def scripts() -> dict[str, str]:
    """The bash scripts of the pages, by the heading above them."""
    text = "\n".join(find_page(name).read_text() for name in ("train.md", "offline.md"))
    sections = (section.partition("\n") for section in re.split(r"^### ", text, flags=re.MULTILINE))
    blocks = ((heading, re.findall(r"```bash\n(.*?)```", text, re.DOTALL)) for heading, _, text in sections)
    return {heading: script for heading, found in blocks for script in found}


def run(heading: str, folder: Path, **variables: Any) -> str:
    """Run a script of the page in ``folder`` with these variables, and return what it has printed."""
    path = folder / f"{heading.split()[-1]}.sh"
    path.write_text(f"{FOUND_OR_NOT}\n{scripts()[heading]}")
    return command(["bash", path.name], folder, **variables)


def command(arguments: list[str], folder: Path, codes: tuple[int, ...] = (0,), **variables: str) -> str:
    environment = {**os.environ, **variables, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode in codes, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def make_project(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make a folder as the page has it: a Lightning Pose config, and data with labels, new labels and a video."""

    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        data, source = folder / "data", shared_data / "openfield"
        (data / "videos").mkdir(parents=True)
        (data / "labeled-data").symlink_to(source / "labeled-data")
        shutil.copy(source / "CollectedData.csv", data)
        lines = (source / "CollectedData.csv").read_text().splitlines(keepends=True)
        (data / "CollectedData_new.csv").write_text("".join([*lines[:3], *lines[3::NEW_EVERY]]))
        cut_video(source / "videos" / "m3v1mp4.mp4", data / "videos" / "test_vid.mp4")
        shutil.copy(shared_data / "litpose/openfield/detector_0/config.yaml", folder)
        return folder

    return make


def cut_video(source: Path, target: Path) -> None:
    """Copy the first packets, none of them encoded anew."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as part:
        stream = whole.streams.video[0]
        copied = part.add_stream_from_template(stream)
        for packet in islice(whole.demux(stream), FRAMES):
            packet.stream = copied
            part.mux(packet)


@pytest.fixture(scope="module")
def trained(make_project: Callable[[str], Path]) -> Path:
    """A project after the training script, with next to no training."""
    for name in ("torch", "onnx"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: training needs the train extra")
    folder = make_project("trained")
    run("Training", folder, OVERRIDES=QUICK, BOX=f"--crop_size {SIDE}", OMP_NUM_THREADS="1")
    return folder


@pytest.fixture(scope="module")
def by_litpose(make_project: Callable[[str], Path], litpose: Path) -> Path:
    """A project whose models Lightning Pose has trained and exported."""
    folder = make_project("by_litpose")
    for name in ("detector_0", "pose_0"):
        directory = folder / MODELS / name
        directory.mkdir(parents=True)
        config = yaml.safe_load((litpose / name / "config.yaml").read_text())
        if name == "pose_0":
            config["data"]["data_dir"] = f"{MODELS}/detector_0/cropped_images"
        (directory / "config.yaml").write_text(yaml.safe_dump(config))
        (directory / "exports_onnx").symlink_to(litpose / name / "exports_onnx")
    return folder


@pytest.fixture(scope="module", params=["trained", "by_litpose"])
def project(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(request.param)
    return folder


@pytest.fixture(scope="module")
def video_predicted(project: Path) -> Path:
    run("Prediction on videos", project, BOX=f"--crop_size {SIDE}")
    return project / MODELS


@pytest.fixture(scope="module")
def labels_predicted(project: Path) -> Path:
    run("Prediction on new labelled images", project, BOX=f"--crop_size {SIDE}")
    return project / MODELS


def poses(path: Path, rows: int, *, sets: set[str] | None = None) -> np.ndarray:
    """(rows, K, 3): x, y, likelihood of a file of predictions, its header and its numbers checked."""
    table = pd.read_csv(path, header=[0, 1, 2], index_col=0)
    if sets is not None:
        assert set(table.pop(table.columns[-1])) == sets
    assert [tuple(column[1:]) for column in table.columns] == PREDICTED
    values = table.to_numpy(np.float64).reshape(-1, len(NAMES), 3)
    assert len(values) == rows
    assert np.isfinite(values).all()
    assert ((values[..., 2] >= 0) & (values[..., 2] <= 1.0001)).all()
    return values


def boxes(path: Path) -> np.ndarray:
    """(N, 4): x, y, h, w."""
    table = pd.read_csv(path, index_col=0)
    assert list(table.columns) == ["x", "y", "h", "w"]
    assert (table[["h", "w"]] == SIDE).all(axis=None)
    return table.to_numpy(np.float64)


def labels(path: Path) -> np.ndarray:
    """(N, K, 2)."""
    return pd.read_csv(path, header=[0, 1, 2], index_col=0).to_numpy().reshape(-1, len(NAMES), 2)


def frame_count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def px_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, K)."""
    return np.asarray(np.linalg.norm(a[..., :2] - b[..., :2], axis=2))


def test_the_page_has_the_three_scripts() -> None:
    assert list(scripts()) == ["Training", "Prediction on videos", "Prediction on new labelled images"]


def test_training_leaves_two_models_and_the_crops_between(trained: Path) -> None:
    detector, pose = trained / MODELS / "detector_0", trained / MODELS / "pose_0"
    for directory in (detector, pose):
        assert (directory / "exports_onnx/cropzoom_small_fp32.onnx").is_file()
        assert len(pd.read_csv(directory / "loss.csv")) == 1
    preds = detector / "image_preds/CollectedData.csv"
    poses(preds / "predictions.csv", LABELLED, sets={"train", "validation"})
    assert len(boxes(preds / "bbox.csv")) == LABELLED
    crops = sorted((detector / "cropped_images/labeled-data/m4s1").glob("*.png"))
    assert len(crops) == LABELLED
    image = cv2.imread(str(crops[0]))
    assert image is not None
    assert image.shape == (SIDE, SIDE, 3)
    assert yaml.safe_load((pose / "config.yaml").read_text())["data"]["data_dir"] == str(detector / "cropped_images")


def test_cropped_labels_are_the_labels_less_the_corner_of_their_box(trained: Path) -> None:
    preds = trained / MODELS / "detector_0/image_preds/CollectedData.csv"
    corners = boxes(preds / "bbox.csv")[:, None, :2]
    moved = labels(preds / "cropped_CollectedData.csv") + corners
    np.testing.assert_allclose(moved, labels(trained / "data/CollectedData.csv"), atol=1e-9)


def test_a_pose_model_says_which_labelled_images_it_was_trained_on(trained: Path) -> None:
    preds = trained / MODELS / "pose_0/image_preds/cropped_CollectedData.csv"
    of_crops = pd.read_csv(preds / "predictions_pixel_error.csv", index_col=0)["set"]
    boxes_of = f"{MODELS}/detector_0/image_preds/CollectedData.csv"
    flags = ["--bbox_dir", boxes_of, "--skip_viz"]
    command(
        ["cropzoom", "predict", f"{MODELS}/pose_0", "data/CollectedData.csv", *flags], trained, (0, 3)
    )  # found nowhere
    whole = trained / MODELS / "pose_0/image_preds/CollectedData.csv/predictions_pixel_error.csv"
    assert pd.read_csv(whole, index_col=0)["set"].tolist() == of_crops.tolist()
    assert set(of_crops) == {"train", "validation"}


def test_video_script_leaves_poses_inside_the_frame_by_both_ways(video_predicted: Path) -> None:
    detector, pose = video_predicted / "detector_0/video_preds", video_predicted / "pose_0/video_preds"
    for path in (detector / "test_vid.csv", pose / "test_vid.csv"):
        xy = poses(path, FRAMES)[..., :2]
        assert ((xy >= 0) & (xy <= SIZE)).all()
    in_crop = poses(pose / "cropped_test_vid.csv", FRAMES)
    assert ((in_crop[..., :2] >= 0) & (in_crop[..., :2] <= SIDE)).all()
    remapped = poses(pose / "remapped_cropped_test_vid.csv", FRAMES)
    corners = boxes(detector / "test_vid_bbox.csv")[:, None, :2]
    np.testing.assert_allclose(remapped[..., :2], in_crop[..., :2] + corners, atol=1e-6)


def test_video_script_leaves_boxes_smooth_boxes_and_videos(video_predicted: Path) -> None:
    detector, pose = video_predicted / "detector_0", video_predicted / "pose_0"
    assert len(boxes(detector / "video_preds/bboxes_smooth/test_vid_bbox.csv")) == FRAMES
    assert (detector / "video_preds/bboxes_smooth/metadata.json").is_file()
    cropped = VideoFile(detector / "cropped_videos/cropped_test_vid.mp4")
    cropped.close()
    assert (cropped.info.width, cropped.info.height) == (SIDE, SIDE)
    drawn = [*(detector / "video_preds/labeled_videos").iterdir(), *(pose / "video_preds/labeled_videos").iterdir()]
    assert sorted(path.name for path in drawn) == [
        "cropped_test_vid_labeled.mp4", "test_vid_labeled.mp4", "test_vid_labeled.mp4",
    ]  # fmt: skip
    assert {frame_count(path) for path in [detector / "cropped_videos/cropped_test_vid.mp4", *drawn]} == {FRAMES}


@pytest.fixture(scope="module")
def litpose_video(by_litpose: Path) -> Path:
    """What the video script leaves with Lightning Pose's models."""
    models = by_litpose / MODELS
    if not (models / "pose_0/video_preds/test_vid.csv").exists():
        run("Prediction on videos", by_litpose, BOX=f"--crop_size {SIDE}")
    return models


@pytest.mark.parametrize("model", ["detector_0", "pose_0"])
def test_video_script_gives_lightning_poses_numbers(litpose_video: Path, litpose: Path, model: str) -> None:
    ours = poses(litpose_video / model / "video_preds/test_vid.csv", FRAMES)[:SURE_FRAMES]
    theirs = poses(litpose / model / "video_preds/m3v1mp4.csv", 2330)[:SURE_FRAMES]
    assert np.abs(ours[..., :2] - theirs[..., :2]).max() < MAX_PX


def test_poses_by_way_of_a_cropped_video_are_lightning_poses_but_for_the_codec(
    litpose_video: Path, litpose: Path
) -> None:
    ours = poses(litpose_video / "pose_0/video_preds/remapped_cropped_test_vid.csv", FRAMES)[:SURE_FRAMES]
    theirs = poses(litpose / "pose_0/video_preds/remapped_cropped_m3v1mp4.csv", 2330)[:SURE_FRAMES]
    between = px_between(ours, theirs)
    assert np.median(between) < 0.5
    assert np.percentile(between, 90) < 2


def test_one_pass_gives_what_the_script_gives(litpose_video: Path, by_litpose: Path) -> None:
    models = ["--detector", f"{MODELS}/detector_0", "--pose", f"{MODELS}/pose_0", "--crop_size", str(SIDE)]
    flags = ["--config", str(ROOT / "configs/offline.yaml"), "--skip_viz", "--frames", "20", "--out", "one_pass"]
    command(["cropzoom", "pipeline", "data/videos/test_vid.mp4", *models, *flags], by_litpose)
    ours = poses(by_litpose / "one_pass/test_vid.csv", 20)
    script = poses(litpose_video / "pose_0/video_preds/test_vid.csv", FRAMES)[:20]
    assert np.abs(ours[..., :2] - script[..., :2]).max() < MAX_PX
    again = pd.read_csv(by_litpose / "one_pass/test_vid_bbox.csv", index_col=0)[["x", "y", "h", "w"]].to_numpy()
    assert (again == boxes(litpose_video / "detector_0/video_preds/test_vid_bbox.csv")[:20]).all()


def test_one_pass_with_the_shipped_models_needs_no_flags(make_project: Callable[[str], Path]) -> None:
    folder = make_project("shipped")
    command(["cropzoom", "pipeline", "data/videos/test_vid.mp4"], folder)
    poses(folder / "predictions/test_vid.csv", FRAMES)
    assert frame_count(folder / "predictions/labeled_videos/test_vid_labeled.mp4") == FRAMES


def test_labels_script_leaves_pixel_errors_and_the_same_poses_by_both_ways(
    project: Path, labels_predicted: Path
) -> None:
    detector, pose = labels_predicted / "detector_0/image_preds", labels_predicted / "pose_0/image_preds"
    truth = labels(project / "data/CollectedData_new.csv")
    by_crop = poses(pose / "cropped_CollectedData_new.csv/remapped_predictions.csv", len(truth), sets={"unused"})
    by_boxes = poses(pose / "CollectedData_new.csv/predictions.csv", len(truth), sets={"unused"})
    np.testing.assert_allclose(by_crop, by_boxes, atol=MAX_PX)
    assert len(boxes(detector / "CollectedData_new.csv/bbox.csv")) == len(truth)
    for folder in ("CollectedData_new.csv", "cropped_CollectedData_new.csv"):
        errors = pd.read_csv(pose / folder / "predictions_pixel_error.csv", index_col=0)
        assert list(errors.columns) == [*NAMES, "set"]
        np.testing.assert_allclose(errors[NAMES].to_numpy(), px_between(by_boxes, truth), atol=2 * MAX_PX)


def test_labels_script_gives_lightning_poses_numbers(by_litpose: Path, litpose: Path) -> None:
    models = by_litpose / MODELS
    if not (models / "pose_0/image_preds/CollectedData_new.csv/predictions.csv").exists():
        run("Prediction on new labelled images", by_litpose, BOX=f"--crop_size {SIDE}")
    for model, new, known in (
        ("detector_0", "CollectedData_new.csv", "CollectedData.csv"),
        ("pose_0", "cropped_CollectedData_new.csv", "cropped_CollectedData.csv"),
    ):
        theirs = poses(litpose / model / f"image_preds/{known}/predictions.csv", LABELLED, sets={"train", "validation"})
        theirs = theirs[::NEW_EVERY]
        ours = poses(models / model / f"image_preds/{new}/predictions.csv", len(theirs), sets={"unused"})
        assert np.abs(ours[..., :2] - theirs[..., :2]).max() < MAX_PX


def test_the_page_shows_the_error_of_remap_as_it_is(shared_data: Path, litpose: Path, tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "scripts/remap_error.py"), "--data", str(shared_data / "openfield")]
    said = command([*script, "--litpose", str(litpose / "crop_ratio")], tmp_path).splitlines()
    lines = [line for line in said if line.startswith("|")]
    page = PAGE.read_text()
    assert len(lines) == 5, said
    for line in lines[2:]:
        what = line.split("|")[1]
        (shown,) = re.findall(rf"^\|{re.escape(what)}\|.*$", page, re.MULTILINE)
        # Median and 95 %; the largest one, and a little of all, hang on the codec's version and the CPU.
        measured, on_page = (
            np.array(re.findall(r"\d+\.\d+", text), np.float64)[[0, 1, 3, 4]] for text in (line, shown)
        )
        np.testing.assert_allclose(measured, on_page, rtol=0.05, atol=0.05)
