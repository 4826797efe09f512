"""``cropzoom create_bbox`` and ``smooth_bbox``: boxes from predictions, number for number Lightning Pose's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.offline_fixtures import Workplace, nothing_changes_in, write_boxes

HEADER = "scorer{s}\nbodyparts{b}\ncoords{c}\n"


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Workplace:
    return Workplace(tmp_path, capfd)


def predictions(path: Path, frames: np.ndarray, names: tuple[str, ...] = ("nose", "ear", "tail")) -> Path:
    """Write (N, K, 2) keypoints, all of them likely."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = HEADER.format(
        s=",s" * 3 * len(names), b="".join(f",{n}" * 3 for n in names), c=",x,y,likelihood" * len(names)
    )
    rows = [f"{i}" + "".join(f",{x!r},{y!r},0.9" for x, y in frame.tolist()) for i, frame in enumerate(frames)]
    path.write_text(header + "\n".join(rows).replace("nan", "") + "\n")
    return path


def predicted_video(work: Workplace, frames: np.ndarray) -> tuple[Path, Path]:
    """A model directory with predictions for a video; the video."""
    model = work.model()
    predictions(model / "video_preds/clip.csv", frames)
    return model, work.video(frames=3)


def boxes_in(path: Path) -> list[list[int]]:
    lines = path.read_text().splitlines()
    assert lines[0] == ",x,y,h,w"
    assert [line.split(",")[0] for line in lines[1:]] == [str(i) for i in range(len(lines) - 1)]
    return [[int(cell) for cell in line.split(",")[1:]] for line in lines[1:]]


FRAMES = np.array([[[100.0, 50], [130, 60], [110, 90]], [[3.5, 4.5], [10, 10], [8, 20]]])


def test_crop_size_is_the_side_and_the_mean_the_middle(work: Workplace) -> None:
    model, video = predicted_video(work, FRAMES)
    done = work.did("create_bbox", model, video, "--crop_size", 61)
    assert done.out.strip() == str(model / "video_preds/clip_bbox.csv")
    # (113.3, 66.7) − 31; (7.17, 11.5) − 31, cut off toward zero
    assert boxes_in(model / "video_preds/clip_bbox.csv") == [[82, 35, 62, 62], [-23, -19, 62, 62]]


@pytest.mark.parametrize("flags", [["--crop_ratio", "2.0"], ["--crop-ratio=2"], []], ids=["given", "hyphen", "default"])
def test_crop_ratio_is_a_multiple_of_the_larger_span(work: Workplace, flags: list[str]) -> None:
    model, video = predicted_video(work, FRAMES)
    work.did("create_bbox", model, video, *flags)
    # spans 40 and 15.5; 31 is made even
    assert boxes_in(model / "video_preds/clip_bbox.csv") == [[73, 26, 80, 80], [-8, -4, 32, 32]]


def test_only_anchors_count(work: Workplace) -> None:
    model, video = predicted_video(work, FRAMES)
    work.did("create_bbox", model, video, "--crop_size", 20, "--anchor_keypoints", "tail,nose")
    assert boxes_in(model / "video_preds/clip_bbox.csv")[0] == [95, 60, 20, 20]


def test_a_frame_without_keypoints_keeps_the_box_of_the_frame_before(work: Workplace) -> None:
    """Lightning Pose would write the smallest integer there is; the first frames get the first box there is."""
    frames = np.stack([FRAMES[0] + 10 * i for i in range(5)])
    frames[[0, 3]] = np.nan
    frames[4, 1] = np.nan
    model, video = predicted_video(work, frames)
    work.did("create_bbox", model, video, "--crop_size", 20)
    boxes = boxes_in(model / "video_preds/clip_bbox.csv")
    assert boxes[0] == boxes[1] == [113, 66, 20, 20]
    assert boxes[2] == boxes[3] == [123, 76, 20, 20]
    assert boxes[4] == [135, 100, 20, 20]


def test_labelled_images_have_their_boxes_beside_their_predictions(work: Workplace) -> None:
    model = work.model()
    labels = work.labels(name="Labels.csv", frames=(5, 12))
    work.did("predict", model, labels, "--skip_viz")
    work.did("create_bbox", model, labels, "--crop_size", 40)
    lines = (model / "image_preds/Labels.csv/bbox.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "",
        "labeled-data/film/img0005.png",
        "labeled-data/film/img0012.png",
    ]


def test_several_videos_and_folders_at_once(work: Workplace) -> None:
    model = work.model()
    (work.folder / "films").mkdir()
    for name in ("films/one.mp4", "films/two.avi", "three.mp4"):
        predictions(model / f"video_preds/{work.video(name, 3).stem}.csv", FRAMES)
    work.did("create_bbox", model, work.folder / "films", work.folder / "three.mp4", "--crop_size", 20)
    for stem in ("one", "two", "three"):
        assert len(boxes_in(model / f"video_preds/{stem}_bbox.csv")) == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--crop_size", 20, "--crop_ratio", 2], "both crop_size and crop_ratio were given"),
        (["--crop_ratio", 1], "crop_ratio is 1; expected more than 1"),
        (["--crop_ratio", -2], "--crop-ratio: got '-2'"),
        (["--crop_ratio", "nan"], "--crop-ratio: got 'nan'"),
        (["--crop_size", 0], "--crop-size: got '0'"),
        (["--crop_size", -20], "--crop-size: got '-20'"),
        (["--anchor_keypoints", "nose,paw"], "no paw; it has nose, ear, tail"),
    ],
)
def test_boxes_that_make_no_sense_are_refused(work: Workplace, flags: list[object], words: str) -> None:
    model, video = predicted_video(work, FRAMES)
    work.did("create_bbox", model, video)
    with nothing_changes_in(work.folder):
        assert words in work.refused("create_bbox", model, video, *flags)


def test_without_predictions_there_are_no_boxes(work: Workplace) -> None:
    model = work.model()
    assert "run cropzoom predict first" in work.refused("create_bbox", model, work.video(frames=3))
    predictions(model / "video_preds/clip.csv", np.full((3, 3, 2), np.nan))
    assert "no keypoint in any row" in work.refused("create_bbox", model, work.folder / "clip.mp4")
    assert not list(model.glob("video_preds/*bbox*"))


def test_one_input_that_fails_does_not_keep_the_others_from_their_boxes(work: Workplace) -> None:
    model, video = predicted_video(work, FRAMES)
    done = work.run("create_bbox", model, work.video("other.mp4", 3), video, "--crop_size", 20)
    assert done.code == 3
    assert len(done.lines) == 1
    assert done.out.strip() == str(model / "video_preds/clip_bbox.csv")


def test_a_median_smooths_a_jump_away(work: Workplace) -> None:
    boxes = [(10 * i, -3 * i, 40 + 2 * i, 50) for i in range(9)]
    boxes[4] = (900, 900, 400, 400)
    write_boxes(work.folder / "boxes/clip_bbox.csv", boxes)
    done = work.did("smooth_bbox", work.folder / "boxes", "--output_dir", work.folder / "smooth", "--window", 5)
    assert done.out.strip() == str(work.folder / "smooth/clip_bbox.csv")
    expected = []
    for i in range(9):  # shorter at the ends; halves to the even number
        window = np.array(boxes[max(0, i - 2) : i + 3], float)
        expected.append(np.median(window, axis=0).round().astype(int).tolist())
    assert boxes_in(work.folder / "smooth/clip_bbox.csv") == expected
    said = json.loads((work.folder / "smooth/metadata.json").read_text())
    assert said == {"method": "median", "window": 5, "source": str(work.folder / "boxes")}


def test_every_box_file_of_a_folder_is_smoothed(work: Workplace) -> None:
    for name in ("one", "two"):
        write_boxes(work.folder / f"boxes/{name}_bbox.csv", [(1, 2, 3, 4)] * 3)
    (work.folder / "boxes/one.csv").write_text("no boxes")
    done = work.did("smooth_bbox", work.folder / "boxes", "--output-dir", work.folder / "smooth", "--method", "median")
    assert [Path(line).name for line in done.out.splitlines()] == ["one_bbox.csv", "two_bbox.csv"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--window", 0], "--window: got '0'"),
        (["--method", "mean"], "method is mean; expected one of median"),
        (["--output_dir", "boxes"], "which has the boxes to smooth"),
    ],
)
def test_invalid_smoothing_is_refused(
    work: Workplace, flags: list[object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work.folder)
    write_boxes(work.folder / "boxes/clip_bbox.csv", [(1, 2, 3, 4)] * 3)
    with nothing_changes_in(work.folder):
        assert words in work.refused("smooth_bbox", "boxes", "--output_dir", "smooth", *flags)


def test_a_folder_without_boxes_or_with_broken_ones_is_refused(work: Workplace) -> None:
    flags = ["--output_dir", work.folder / "smooth"]
    assert "no *_bbox.csv" in work.refused("smooth_bbox", work.folder / "none", *flags)
    write_boxes(work.folder / "boxes/clip_bbox.csv", [(1, 2, 3, ""), (1, 2, 3, 4)])
    assert "no box in row 0" in work.refused("smooth_bbox", work.folder / "boxes", *flags)
    write_boxes(work.folder / "boxes/clip_bbox.csv", [(1, 2, 3, 4)])
    (work.folder / "file").write_text("")
    assert "cannot write" in work.refused("smooth_bbox", work.folder / "boxes", "--output_dir", work.folder / "file")
