"""Boxes far from those of the training are said, before anybody believes the keypoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from support.offline_fixtures import Workplace, write_boxes
from support.pipelines import cropzoom

from realtime_cropzoom.inference.box_size import BoxSizeCheck, ExpectedSide, tiny_warning
from realtime_cropzoom.inference.makers.maker import Wanted
from realtime_cropzoom.inference.model_file import find_model
from realtime_cropzoom.types import Keypoints

SEEN = Keypoints(np.zeros((2, 2), np.float32), np.ones(2, np.float32))


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Workplace:
    return Workplace(tmp_path, capfd)


def trained_on_crops(work: Workplace, side: int = 64) -> Path:
    """A pose model whose config names the cropped label file of a detector beside it."""
    pose = work.model("pose", size=(64, 64))
    config = yaml.safe_load((pose / "config.yaml").read_text())
    config["data"]["csv_file"] = "outputs/x/detector/image_preds/Labels.csv/cropped_Labels.csv"
    (pose / "config.yaml").write_text(yaml.safe_dump(config))
    write_boxes(work.folder / "detector/image_preds/Labels.csv/bbox.csv", [(0, 0, side, side)] * 3, "abc")
    return pose


@pytest.mark.parametrize(
    ("side", "known", "words"),
    [
        (240, True, None),
        (130, True, None),
        (100, True, "boxes are 100 px wide, but the pose model was trained on boxes of 240 px: they are too small"),
        (600, True, "they are too large, and keypoints will be off. Give --crop-size 240"),
        (100, False, None),
        (32, False, "but the input of the pose model has 240 px: they are too small"),
        (1200, False, "too large"),
    ],
)
def test_sides_are_held_against_what_the_model_was_trained_on(side: int, known: bool, words: str | None) -> None:
    warning = ExpectedSide(240, known).warning([side] * 3)
    assert (warning is None) == (words is None)
    assert words is None or (warning is not None and words in warning)


def test_the_first_boxes_are_judged_once() -> None:
    sizes = BoxSizeCheck(ExpectedSide(240, True))
    assert [sizes.add(side, SEEN) for side in [240] * 4 + [32] * 5] == [None] * 9
    assert "boxes are 32 px" in str(sizes.add(32, SEEN))
    assert [sizes.add(32, SEEN), sizes.end()] == [None, None]


def test_a_model_directory_knows_the_boxes_of_its_training(work: Workplace) -> None:
    assert find_model(trained_on_crops(work, 88), Wanted()).trained_side == 88
    assert find_model(work.model("other"), Wanted()).trained_side is None


def test_pipeline_says_at_the_start_that_boxes_are_too_small(work: Workplace) -> None:
    pose, detector, video = trained_on_crops(work, 88), work.model("finder"), work.video(frames=4)
    flags = ("--detector", detector, "--pose", pose, "--skip_viz", "--out")
    done = work.did("pipeline", video, *flags, work.folder / "a", "--crop_size", 20)
    assert "boxes are 20 px wide, but the pose model was trained on boxes of 88 px" in done.err
    assert "px wide" not in work.did("pipeline", video, *flags, work.folder / "b", "--crop_size", 80).err
    done = work.did("pipeline", video, *flags, work.folder / "c", "--crop_ratio", 1.1)
    assert "trained on boxes of 88 px: they are too small" in done.err


def test_a_pipeline_without_any_size_says_what_it_takes(work: Workplace) -> None:
    detector, pose, video = work.model("finder"), work.model("pose"), work.video(frames=3)
    done = work.did("pipeline", video, "--detector", detector, "--pose", pose, "--skip_viz", "--out", work.folder / "o")
    assert "neither --crop-size nor --crop-ratio is given" in done.err


def test_run_says_so_too(work: Workplace, caplog: pytest.LogCaptureFixture) -> None:
    pose, detector, video = trained_on_crops(work, 88), work.model("finder"), work.video(frames=12)
    boxes = write_boxes(work.folder / "clip_bbox.csv", [(5, 5, 20, 20)] * 12)
    flags = ("--pose", pose, "--pace", "fast", "--publish", "none", "--publish_latest", "none", "--out")
    for name, further in {
        "a": ("--detector", detector, "--crop_size", 20),
        "b": ("--detector", detector, "--crop_ratio", 1.1),
        "c": ("--schedule", boxes),
    }.items():
        done = work.run("run", video, *flags, work.folder / name, *further)
        assert "but the pose model was trained on boxes of 88 px: they are too small" in done.err + caplog.text, done
        caplog.clear()


def test_predict_says_it_of_the_boxes_that_it_is_given(work: Workplace) -> None:
    pose, video = trained_on_crops(work, 88), work.video(frames=4)
    path = write_boxes(work.folder / "b/clip_bbox.csv", [(5, 5, 20, 20)] * 4)
    done = work.did("predict", pose, video, "--bbox_dir", path.parent, "--skip_viz")
    assert "clip_bbox.csv: boxes are 20 px wide" in done.err


def test_create_bbox_warns_about_tiny_boxes(work: Workplace) -> None:
    """One keypoint has no span."""
    model, video = work.model(keypoints=("nose", "b", "c")), work.video(frames=3)
    preds = model / "video_preds/clip.csv"
    preds.parent.mkdir()
    preds.write_text("scorer,t,t,t\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n0,5.5,6.5,.9\n")
    assert (
        "boxes are 2 px wide, as keypoints lie together or there is only one"
        in work.did("create_bbox", model, video).err
    )
    assert "px wide" not in work.did("create_bbox", model, video, "--crop_size", 40, "--overwrite").err
    assert tiny_warning([16, 16, 2], None) is None


def test_the_warning_about_a_filled_box_gives_a_better_side() -> None:
    large = Keypoints(np.array([[0, 0], [236, 20]], np.float32), np.ones(2, np.float32))
    sizes = BoxSizeCheck(None)
    assert [sizes.add(240, large) for _ in range(9)] == [None] * 9
    assert "the animal is about 237 px long" in str(said := sizes.add(240, large))
    assert str(said).endswith("Give --crop-size 470")
    assert BoxSizeCheck(None).end() is None


def test_the_larger_arena_of_the_docs_is_tracked_and_without_its_crop_size_that_is_asked_for(tmp_path: Path) -> None:
    arena = "synthetic:arena,size=1280x960,seconds=1,seed=3"
    given = ("run", arena, "--pace", "fast", "--publish", "none", "--out", tmp_path)
    without, with_size = cropzoom(*given), cropzoom(*given, "--crop-size", "480")
    assert "Give --crop-size 4" in " ".join(without.stderr.split())
    assert (with_size.returncode, "Give --crop-size" in with_size.stdout + with_size.stderr) == (0, False)
    assert "animal found in 100 % of 30 processed frames" in with_size.stdout
