"""The offline commands against the files that ``litpose`` made of the same data with the same models.

By default a video is its first frames, copied without encoding them again, and labelled images are all of
them; ``FULL_PARITY=1`` in the environment compares the whole video too, which takes minutes.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from support.offline_fixtures import first_packets, poses_in, run_here

from realtime_cropzoom.offline.frame_reader import count_frames
from realtime_cropzoom.sources.video_file import VideoFile

pytestmark = pytest.mark.slow

FRAMES, MORE, WHOLE = 40, 6, 2330
VIDEO = "m3v1mp4"
MAX_PX, MAX_LIKELIHOOD = 1e-3, 1e-4
FULL = pytest.mark.skipif("FULL_PARITY" not in os.environ, reason="takes minutes; set FULL_PARITY=1 to run it")
LENGTHS = pytest.mark.parametrize("frames", [FRAMES, pytest.param(WHOLE, marks=[FULL, pytest.mark.timeout(3600)])])


def did(*arguments: object) -> None:
    assert run_here(*arguments) == 0


def copy_of(directory: Path, target: Path, data_dir: Path) -> Path:
    """A model directory with a golden model's network, that knows where the images are and has no files yet."""
    target.mkdir(parents=True)
    (target / "exports_onnx").symlink_to(directory / "exports_onnx")
    config = yaml.safe_load((directory / "config.yaml").read_text())
    config["data"]["data_dir"] = str(data_dir)
    (target / "config.yaml").write_text(yaml.safe_dump(config))
    return target


@pytest.fixture
def detector(litpose: Path, shared_data: Path, tmp_path: Path) -> Path:
    return copy_of(litpose / "detector_0", tmp_path / "detector", shared_data / "openfield")


@pytest.fixture
def pose(litpose: Path, tmp_path: Path) -> Path:
    return copy_of(litpose / "pose_0", tmp_path / "pose", tmp_path / "detector/cropped_images")


@pytest.fixture
def labels(shared_data: Path) -> Path:
    return shared_data / "openfield/CollectedData.csv"


def video_of(shared_data: Path, folder: Path, frames: int) -> Path:
    """The recording, or its first frames under its name: the same packets, so the same pixels.

    And some more, since the last ones refer to frames that are cut off.
    """
    whole = shared_data / f"openfield/videos/{VIDEO}.mp4"
    return whole if frames == WHOLE else first_packets(whole, folder / f"{VIDEO}.mp4", frames + MORE)


def head(path: Path, target: Path, rows: int, header_rows: int = 1) -> Path:
    """The first rows of a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines(keepends=True)
    target.write_text("".join(lines[: header_rows + rows]))
    return target


def assert_close(ours: Path, golden: Path, rows: int | None = None) -> None:
    """Every keypoint, every header row, the index, and the ``set`` column where there is one."""
    with ours.open() as a, golden.open() as b:
        our_lines, golden_lines = a.read().splitlines(), b.read().splitlines()
    rows = len(golden_lines) - 3 if rows is None else rows
    assert our_lines[:3] == golden_lines[:3]
    end = 3 + rows
    assert [line.split(",")[0] for line in our_lines[:end]] == [line.split(",")[0] for line in golden_lines[:end]]
    if our_lines[0].endswith(",set"):
        assert [line.split(",")[-1] for line in our_lines] == [line.split(",")[-1] for line in golden_lines]
    off = np.abs(poses_in(ours)[:rows] - poses_in(golden)[:rows])
    assert off[..., :2].max() <= MAX_PX
    assert off[..., 2].max() <= MAX_LIKELIHOOD


@LENGTHS
def test_predict_a_video(detector: Path, litpose: Path, shared_data: Path, tmp_path: Path, frames: int) -> None:
    did("predict", detector, video_of(shared_data, tmp_path, frames), "--skip_viz")
    golden = litpose / "detector_0/video_preds"
    assert_close(detector / f"video_preds/{VIDEO}.csv", golden / f"{VIDEO}.csv", frames)
    name = f"{VIDEO}_temporal_norm.csv"
    ours, theirs = (pd.read_csv(folder / name, index_col=0) for folder in (detector / "video_preds", golden))
    pd.testing.assert_frame_equal(ours[:frames], theirs[:frames], atol=2 * MAX_PX, rtol=0)


@LENGTHS
@pytest.mark.parametrize("boxes", ["detector_0", "crop_ratio/detector_0"])
def test_predict_a_video_with_boxes(
    pose: Path, litpose: Path, shared_data: Path, tmp_path: Path, boxes: str, frames: int
) -> None:
    folder, video = tmp_path / "boxes", video_of(shared_data, tmp_path, frames)
    head(litpose / boxes / f"video_preds/{VIDEO}_bbox.csv", folder / f"{VIDEO}_bbox.csv", count_frames(str(video)))
    code = run_here("predict", pose, video, "--bbox_dir", folder, "--skip_viz")
    assert code in (0, 3), "3: this weak detector's boxes show the animal in none of the first frames"
    golden = litpose / boxes.replace("detector", "pose") / f"video_preds/{VIDEO}.csv"
    assert_close(pose / f"video_preds/{VIDEO}.csv", golden, frames)


def test_predict_a_cropped_video(pose: Path, litpose: Path, tmp_path: Path) -> None:
    """Litpose's own cropped video, so that the codec is the same."""
    name = f"cropped_{VIDEO}"
    video = first_packets(litpose / f"detector_0/cropped_videos/{name}.mp4", tmp_path / f"{name}.mp4", 15 + MORE)
    did("predict", pose, video, "--skip_viz")
    assert_close(pose / f"video_preds/{name}.csv", litpose / f"pose_0/video_preds/{name}.csv", 15)


@FULL
@pytest.mark.timeout(3600)
def test_predict_with_a_context_model(litpose: Path, tmp_path: Path) -> None:
    model = copy_of(litpose / "context_0", tmp_path / "context", tmp_path)
    did("predict", model, litpose / "clip.mp4", "--skip_viz")
    assert_close(model / "video_preds/clip.csv", litpose / "context_0/video_preds/clip.csv")


def test_labelled_images_from_predict_to_the_pose_model_on_their_crops(
    detector: Path, pose: Path, labels: Path, litpose: Path
) -> None:
    """The whole way, each step on our own files of the step before."""
    golden, ours = litpose / "detector_0/image_preds/CollectedData.csv", detector / "image_preds/CollectedData.csv"
    did("predict", detector, labels, "--skip_viz")
    assert_close(ours / "predictions.csv", golden / "predictions.csv")
    assert_errors_close(ours, golden)

    did("create_bbox", detector, labels, "--crop_size", 240)
    assert (ours / "bbox.csv").read_bytes() == (golden / "bbox.csv").read_bytes()
    did("crop", detector, labels)
    cropped = "cropped_CollectedData.csv"
    assert (ours / cropped).read_bytes() == (golden / cropped).read_bytes()

    did("predict", pose, ours / cropped, "--skip_viz")
    golden_pose = litpose / "pose_0/image_preds" / cropped
    assert_close(pose / "image_preds" / cropped / "predictions.csv", golden_pose / "predictions.csv")
    assert_errors_close(pose / "image_preds" / cropped, golden_pose)

    # cropped on the fly, that is the same in the coordinates of the frame
    some = head(labels, pose.parent / "CollectedData.csv", 10, 3)
    did("predict", pose, some, "--bbox_dir", ours, "--skip_viz")
    corners = pd.read_csv(golden / "bbox.csv", index_col=0)[["x", "y"]].to_numpy()[:10, None]
    on_the_fly = poses_in(pose / "image_preds/CollectedData.csv/predictions.csv")
    expected = poses_in(golden_pose / "predictions.csv")[:10]
    assert np.abs(on_the_fly[..., :2] - expected[..., :2] - corners).max() <= MAX_PX
    assert np.abs(on_the_fly[..., 2] - expected[..., 2]).max() <= MAX_LIKELIHOOD


def assert_errors_close(ours: Path, golden: Path) -> None:
    name = "predictions_pixel_error.csv"
    a, b = (pd.read_csv(folder / name, index_col=0) for folder in (ours, golden))
    pd.testing.assert_frame_equal(a, b, atol=MAX_PX, rtol=0)


@pytest.mark.parametrize(
    ("golden", "flags"),
    [
        ("detector_0", ["--crop_size", 240]),
        ("crop_ratio/detector_0", ["--crop_ratio", 2.0]),
        ("crop_ratio/detector_0", []),
    ],
)
def test_create_bbox_of_the_whole_video(
    detector: Path, litpose: Path, shared_data: Path, golden: str, flags: list[object]
) -> None:
    preds = head(litpose / f"detector_0/video_preds/{VIDEO}.csv", detector / f"video_preds/{VIDEO}.csv", WHOLE, 3)
    did("create_bbox", detector, shared_data / f"openfield/videos/{VIDEO}.mp4", *flags)
    name = f"{VIDEO}_bbox.csv"
    assert (preds.parent / name).read_bytes() == (litpose / golden / "video_preds" / name).read_bytes()


def test_smooth_bbox_of_the_whole_video(litpose: Path, tmp_path: Path) -> None:
    golden = litpose / "crop_ratio/detector_0/video_preds"
    did("smooth_bbox", golden, "--output_dir", tmp_path / "smooth", "--method", "median", "--window", 5)
    name = f"{VIDEO}_bbox.csv"
    assert (tmp_path / "smooth" / name).read_bytes() == (golden / "bboxes_smooth_w5" / name).read_bytes()


@LENGTHS
@pytest.mark.parametrize("boxes", ["detector_0", "crop_ratio/detector_0"])
def test_a_cropped_video_shows_the_source_as_litposes_does(
    detector: Path, litpose: Path, shared_data: Path, tmp_path: Path, boxes: str, frames: int
) -> None:
    """But for the codec, and for the frame's last row and column, which litpose leaves black.

    And in a few frames of a thousand litpose takes the box of the frame before: it goes by time, and rounds down.
    """
    video = video_of(shared_data, tmp_path, frames)
    there = count_frames(str(video))
    box_file = head(litpose / f"{boxes}/video_preds/{VIDEO}_bbox.csv", tmp_path / f"boxes/{VIDEO}_bbox.csv", there)
    did("crop", detector, video, "--bbox_dir", box_file.parent)
    ours, source = VideoFile(detector / f"cropped_videos/cropped_{VIDEO}.mp4"), VideoFile(video)
    theirs = VideoFile(litpose / f"{boxes}/cropped_videos/cropped_{VIDEO}.mp4")
    table = pd.read_csv(box_file, index_col=0)
    size = (ours.info.width, ours.info.height)
    assert size == tuple(round(table[side].median() / 2) * 2 for side in "wh")
    as_large = size == (theirs.info.width, theirs.info.height)  # the median of a few boxes need not be that of all
    assert as_large or boxes != "detector_0"
    count, before = 0, None
    for row, crop, frame, golden in zip(
        table.itertuples(), ours.frames(), source.frames(), theirs.frames(), strict=frames == WHOLE
    ):
        if count % 10 == 0:
            shown, expected = pixels(crop), expected_crop(pixels(frame), row, size)
            assert np.abs(shown - expected).mean() < 4
            if as_large:
                of_litpose = [shown, shown if before is None else expected_crop(pixels(frame), before, size)]
                assert min(np.median(np.abs(image - pixels(golden))) for image in of_litpose) <= 3
        count, before = count + 1, row
    assert count == there
    assert count_frames(str(detector / f"cropped_videos/cropped_{VIDEO}.mp4")) == there
    for opened in (ours, source, theirs):
        opened.close()


def pixels(captured: object) -> np.ndarray:
    image = np.empty((captured.height, captured.width, 3), np.uint8)  # type: ignore[attr-defined]
    captured.copy_to(image)  # type: ignore[attr-defined]
    return image.astype(int)


def expected_crop(image: np.ndarray, box: object, size: tuple[int, int]) -> np.ndarray:
    margin = 1000
    padded = np.pad(image.astype(np.uint8), ((margin, margin), (margin, margin), (0, 0)))
    x, y, h, w = (int(getattr(box, name)) for name in "xyhw")
    return cv2.resize(padded[y + margin : y + margin + h, x + margin : x + margin + w], size).astype(int)


def test_remap_of_the_whole_video_is_litposes_where_nothing_was_resized(litpose: Path, tmp_path: Path) -> None:
    name = f"cropped_{VIDEO}.csv"
    golden = litpose / "pose_0/video_preds"
    predictions = head(golden / name, tmp_path / name, WHOLE, 3)
    did("remap", predictions, litpose / f"detector_0/video_preds/{VIDEO}_bbox.csv")
    assert (tmp_path / f"remapped_{name}").read_bytes() == (golden / f"remapped_{name}").read_bytes()


def test_remap_is_right_where_litposes_is_off_by_the_scale(litpose: Path, tmp_path: Path) -> None:
    """Measured against predicting with the same boxes on the fly, where nothing is remapped."""
    name = f"cropped_{VIDEO}.csv"
    folder = litpose / "crop_ratio/pose_0/video_preds"
    predictions = head(folder / name, tmp_path / name, WHOLE, 3)
    did("remap", predictions, litpose / f"crop_ratio/detector_0/video_preds/{VIDEO}_bbox.csv")
    direct = poses_in(folder / f"{VIDEO}.csv")
    sure = direct[..., 2] > 0.9
    ours, theirs = (
        np.linalg.norm(poses_in(path)[..., :2] - direct[..., :2], axis=-1)[sure]
        for path in (tmp_path / f"remapped_{name}", folder / f"remapped_{name}")
    )
    assert np.median(ours) < 1
    assert np.median(theirs) > 20 * np.median(ours)


@LENGTHS
def test_the_pipeline_with_litposes_settings_gives_litposes_numbers(
    detector: Path, pose: Path, litpose: Path, shared_data: Path, tmp_path: Path, frames: int
) -> None:
    as_litpose = ["--edge", "clamp", "--decoder", "reference", "--min-likelihood", 0, "--min-box", 0]
    did(
        "pipeline", video_of(shared_data, tmp_path, frames), "--detector", detector, "--pose", pose,
        "--crop-size", 240, *as_litpose, "--skip_viz",
    )  # fmt: skip
    assert_close(pose / f"video_preds/{VIDEO}.csv", litpose / f"pose_0/video_preds/{VIDEO}.csv", frames)
    columns, name = ["x", "y", "h", "w"], f"{VIDEO}_bbox.csv"
    ours = pd.read_csv(pose / "video_preds" / name, index_col=0)[columns][:frames]
    assert ours.equals(pd.read_csv(litpose / "detector_0/video_preds" / name, index_col=0)[columns][:frames])
