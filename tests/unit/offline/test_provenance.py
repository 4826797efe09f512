"""What was made of what: the same inputs are left as they are, others are refused, by every command alike."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.films import Footage
from support.offline_fixtures import (
    Workplace,
    frames_of,
    image_name,
    model_directory,
    nothing_changes_in,
    poses_in,
    run_here,
    touch_later,
    write_boxes,
)
from support.pages import find_page

from realtime_cropzoom.offline.provenance import fingerprint, read_origin

PAGE = find_page("offline.md")
COUNT = 8


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Workplace:
    return Workplace(tmp_path, capfd)


def chain(folder: Path, size: int, *flags: object) -> list[tuple[object, ...]]:
    """The commands of the page, one after the other, with boxes of a size."""
    detector, pose, video = folder / "detector", folder / "pose", folder / "clip.mp4"
    preds = detector / "video_preds"
    return [
        ("predict", detector, video, "--skip_viz", *flags),
        ("create_bbox", detector, video, "--crop_size", size, *flags),
        ("smooth_bbox", preds, "--output_dir", preds / "smooth", "--window", 3, *flags),
        ("crop", detector, video, "--bbox_dir", preds, *flags),
        ("predict", pose, detector / "cropped_videos/cropped_clip.mp4", "--skip_viz", *flags),
        ("remap", pose / "video_preds/cropped_clip.csv", preds / "clip_bbox.csv", *flags),
        ("predict", pose, video, "--bbox_dir", preds, "--skip_viz", *flags),
    ]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all commands were run with boxes of 60 pixels."""
    folder = tmp_path_factory.mktemp("once")
    model_directory(folder / "detector", data_dir=folder)
    model_directory(folder / "pose", data_dir=folder, size=(96, 96))
    Footage((160, 96)).write(folder / "clip.mp4", COUNT)
    for command in chain(folder, 60):
        assert run_here(*command) == 0
    return folder


@pytest.fixture
def made(once: Path, work: Workplace) -> Workplace:
    """A copy of it: only content counts."""
    shutil.copytree(once, work.folder, dirs_exist_ok=True)
    return work


def test_the_same_again_leaves_every_file_as_it_is(made: Workplace) -> None:
    with nothing_changes_in(made.folder):
        for command in chain(made.folder, 60):
            done = made.did(*command)
            assert "skipping" in done.err, command
            assert "made of the same inputs and settings (--overwrite makes it again)" in done.err


def test_other_boxes_are_refused_and_leave_every_file_as_it_is(made: Workplace) -> None:
    predict, create, _, crop, predict_crops, *_ = chain(made.folder, 40)
    with nothing_changes_in(made.folder):
        made.did(*predict)
        assert "(crop_size: 60, now 40). Add --overwrite to make it again" in made.refused(*create)
        assert "crop_size: 60, now 40" in made.refused(
            "crop", made.folder / "detector", made.folder / "clip.mp4", "--crop_size", 40
        )
    made.did(*create, "--overwrite")
    with nothing_changes_in(made.folder):
        assert re.search(r"cropped_clip.mp4 .*\(boxes: .*clip_bbox.csv has changed since\)", made.refused(*crop))
        assert "cut with other boxes than" in made.refused(*chain(made.folder, 40)[5])
    made.did(*crop, "--overwrite")
    with nothing_changes_in(made.folder):
        assert "cropped_clip.mp4 has changed since" in made.refused(*predict_crops)
        assert "cut with other boxes than" in made.refused(*chain(made.folder, 40)[5])


def test_with_overwrite_the_keypoints_are_right(made: Workplace) -> None:
    """Both ways of the page agree: the crops are as large as the model's input, but for the codec."""
    for command in chain(made.folder, 96, "--overwrite"):
        made.did(*command)
    preds = made.folder / "pose/video_preds"
    remapped, direct = (poses_in(preds / name)[:, 0, :2] for name in ("remapped_cropped_clip.csv", "clip.csv"))
    boxes = np.loadtxt(made.folder / "detector/video_preds/clip_bbox.csv", delimiter=",", skiprows=1)
    inside = (boxes[:, 1:3] >= 0).all(axis=1) & (boxes[:, 1] + 96 <= 160) & (boxes[:, 2] + 96 <= 96)
    assert np.abs(remapped - direct)[inside].max(initial=0) < 1.5
    assert np.abs(remapped - direct).max() < 20, (
        "the edge of the frame is treated otherwise; 18 px of shift more is not"
    )


def commands_of_the_page(folder: Path, **variables: str) -> list[list[str]]:
    """The commands that the page's script for videos gives, each as words, without running them."""
    sections = re.split(r"^### ", PAGE.read_text(), flags=re.MULTILINE)
    script = next(s for s in sections if s.startswith("Prediction on videos")).split("```bash\n")[1].split("```")[0]
    say = "cropzoom() { printf '%s\\n' \"$*\"; }\n"
    done = subprocess.run(
        ["bash"], cwd=folder, input=say + script, env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_the_script_of_the_page_twice_with_two_sizes(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    work.model("outputs/detector_0")
    work.model("outputs/pose_0", size=(96, 96))
    work.video(frames=COUNT)
    monkeypatch.chdir(work.folder)

    def commands(size: int, **variables: str) -> list[list[str]]:
        given = {"VIDEO": "clip.mp4", "MODEL_DIR": "outputs", "BOX": f"--crop_size {size}", **variables}
        return commands_of_the_page(work.folder, **given)

    for command in commands(60):
        work.did(*command)
    with nothing_changes_in(work.folder):
        predict, create_bbox, *_ = commands(40)
        work.did(*predict)
        line = work.refused(*create_bbox)  # here the script ends
    assert line.rstrip().endswith("(crop_size: 60, now 40). Add --overwrite to make it again")
    for command in commands(40, OVERWRITE="--overwrite"):
        work.did(*command)
    preds = work.folder / "outputs/pose_0/video_preds"
    assert frames_of(work.folder / "outputs/detector_0/cropped_videos/cropped_clip.mp4")[0].shape == (40, 40, 3)
    cropped, remapped = (poses_in(preds / f"{name}cropped_clip.csv")[..., :2] for name in ("", "remapped_"))
    boxes = np.loadtxt(work.folder / "outputs/detector_0/video_preds/clip_bbox.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(remapped, cropped + boxes[:, None, 1:3])


def test_a_video_that_was_replaced_is_another(made: Workplace) -> None:
    made.footage.write(made.folder / "clip.mp4", COUNT - 1)
    predict, create, *_ = chain(made.folder, 60)
    with nothing_changes_in(made.folder):
        assert "clip.mp4 has changed since" in made.refused(*predict)
        assert "was made of another clip.mp4" in made.refused(*create)
        assert "has the boxes of another clip.mp4" in made.refused(*chain(made.folder, 60)[3])
        assert "has the boxes of another clip.mp4" in made.refused(*chain(made.folder, 60)[6])


def test_a_folder_may_move(made: Workplace) -> None:
    """Content counts, not where it lies."""
    (made.folder / "all").mkdir()
    for name in ("detector", "pose", "clip.mp4"):
        (made.folder / name).rename(made.folder / "all" / name)
    touch_later(made.folder / "all/clip.mp4")
    made.folder = made.folder / "all"
    for command in chain(made.folder, 60):
        assert "made of the same" in made.did(*command).err


def test_another_model_is_refused(made: Workplace) -> None:
    made.model("other", levels=1)
    for part in ("exports_onnx", "config.yaml"):
        target = made.folder / "detector" / part
        target.rename(made.folder / f"old_{part}")
        (made.folder / "other" / part).rename(target)
    assert "(another model). Add --overwrite" in made.refused(*chain(made.folder, 60)[0])


def test_files_without_a_note_are_judged_by_what_they_hold(made: Workplace) -> None:
    """Lightning Pose writes none."""
    for note in made.folder.rglob("*.made_of.json"):
        note.unlink()
    with nothing_changes_in(made.folder):
        for command in chain(made.folder, 60):
            assert "another program left or changed it" in made.did(*command).err
        assert "differs from what would be made now" in made.refused(*chain(made.folder, 40)[1])
    write_boxes(made.folder / "b/clip_bbox.csv", [(5, 5, 50, 50)] * COUNT)
    line = made.refused("crop", made.folder / "detector", made.folder / "clip.mp4", "--bbox_dir", made.folder / "b")
    assert "differs from what would be made now" in line


def test_pipeline_says_what_it_did_not_check_and_make_of_predictions_of_another_program(made: Workplace) -> None:
    predictions = made.folder / "pose/video_preds/clip.csv"
    predictions.with_name("clip.csv.made_of.json").unlink()
    done = made.did("pipeline", made.folder / "clip.mp4", "--detector", made.folder / "detector", "--pose",
                    made.folder / "pose", "--crop_size", 60)  # fmt: skip
    assert (
        f"skipping {predictions}: another program left or changed it; its model and crop size were not checked, and "
        "boxes and labelled video were not made (--overwrite makes it again)"
    ) in " ".join(done.err.split())


def test_predictions_in_frame_space_are_not_remapped(made: Workplace) -> None:
    preds = made.folder / "pose/video_preds/clip.csv"
    line = made.refused("remap", preds, made.folder / "detector/video_preds/clip_bbox.csv")
    assert "are already those of the whole frame" in line


def test_a_note_says_what_a_file_was_made_of(made: Workplace) -> None:
    note = read_origin(made.folder / "pose/video_preds/remapped_cropped_clip.csv")
    assert note is not None
    video = note["made_of"]["predictions"]["made_of"]["video"]
    assert video["made_of"]["boxes"]["made_of"]["crop_size"] == 60
    source = video["made_of"]["boxes"]["made_of"]["predictions"]["made_of"]["video"]
    assert source["sha256"] == fingerprint(made.folder / "clip.mp4")
    assert note["version"]
    path = made.folder / "pose/video_preds/clip.csv"
    path.write_text(path.read_text() + "\n")
    assert read_origin(path) is None, "it has become another file"


def test_the_pipeline_goes_by_the_same_rule(made: Workplace) -> None:
    flags = ("--detector", made.folder / "detector", "--pose", made.folder / "pose", "--skip_viz")
    video, out = made.folder / "clip.mp4", made.folder / "out"
    made.did("pipeline", video, *flags, "--crop_size", 60, "--out", out)
    with nothing_changes_in(out):
        assert "made of the same" in made.did("pipeline", video, *flags, "--crop_size", 60, "--out", out).err
        assert "crop_size: 60, now 40" in made.refused("pipeline", video, *flags, "--crop_size", 40, "--out", out)
    with nothing_changes_in(made.folder):
        assert "(command: cropzoom predict, now cropzoom pipeline)" in made.refused("pipeline", video, *flags)


def test_crops_of_two_label_files_are_not_mixed(work: Workplace) -> None:
    """Both would write the crop of the image that both label."""
    detector, pose = work.model("detector"), work.model("pose")
    first, second = work.labels((5, 12), "First.csv"), work.labels((12, 30), "Second.csv")
    work.did("crop", detector, first, "--crop_size", 60)
    cropped = detector / "image_preds/First.csv/cropped_First.csv"
    done = work.run("crop", detector, second, "--crop_size", 40)
    assert done.code == 2
    line = done.lines[-1]
    assert f"{image_name(12)} is there already, cropped to another box" in line
    work.did("crop", detector, second, "--overwrite")
    line = work.refused("predict", pose, cropped, "--skip_viz")
    assert "were cropped again since, with other boxes" in line
    work.did("crop", detector, first, "--overwrite")
    work.did("predict", pose, cropped, "--skip_viz")


def test_boxes_of_images_go_by_their_names(work: Workplace) -> None:
    """Labels that were corrected, or are some of those that the boxes were made of, are as well."""
    detector, pose, labels = work.model("detector"), work.model("pose"), work.labels((5, 12, 30))
    work.did("crop", detector, labels, "--crop_size", 60)
    work.labels((12, 30), "Labels.csv")
    folder = detector / "image_preds/Labels.csv"
    work.did("predict", pose, labels, "--bbox_dir", folder, "--skip_viz")
    assert "Labels.csv has changed since" in work.refused("crop", detector, labels)
