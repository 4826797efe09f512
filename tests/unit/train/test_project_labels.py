"""Labels of a project: what cannot be trained on is refused in one line, and what is doubtful is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.judged_projects import KEYPOINTS, write_frames, write_labels

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.project.folder import Project, load_project
from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.train.project_labels import read_project_labels
from realtime_cropzoom.types import Float32

Make = Callable[..., Project]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a project of small pictures with labels."""

    def made(xy: Float32, size: tuple[int, int] = (64, 48), yaml: str = "") -> Project:
        folder = tmp_path / "my rat"
        frames = [LabelledFrame("", np.full((size[1], size[0], 3), i, np.uint8), each) for i, each in enumerate(xy)]
        images = [f"frames/day 1/img{i:08d}.png" for i in range(len(frames))]
        folder.mkdir()
        (folder / "project.yaml").write_text(f"keypoints: [{', '.join(KEYPOINTS)}]\n{yaml}")
        write_frames(folder, images, frames)
        write_labels(folder / "labels/CollectedData.csv", images, frames)
        return load_project(folder)

    return made


def labels(count: int) -> Float32:
    return np.random.default_rng(0).uniform(5, 40, (count, 4, 2)).astype(np.float32)


def test_labelled_and_empty_frames_are_told_apart(make: Make) -> None:
    xy = labels(12)
    xy[3] = np.nan
    xy[4, 1:] = np.nan
    read = read_project_labels(make(xy))
    assert (len(read.labelled), [frame.name for frame in read.empty]) == (11, ["frames/day 1/img00000003.png"])
    assert read.sizes == [(64, 48)] * 11
    notes = " / ".join(read.notes)
    assert "11 labelled frames are few" in notes
    assert "1 frame without any label: not used. If they show no animal, let training learn that" in notes
    assert "names no symmetric keypoints" in notes


def test_a_good_project_has_nothing_to_say(make: Make) -> None:
    project = make(labels(50), yaml="symmetric: [[leftear, rightear]]\n")
    assert read_project_labels(project).notes == ()


def never(xy: Float32) -> Float32:
    xy[:, 2] = np.nan
    return xy


@pytest.mark.parametrize(
    ("xy", "message"),
    [
        (labels(9), r"got 9 labelled frames, expected at least 10, and better 100"),
        (never(labels(20)), "got no label of rightear, expected some of each keypoint"),
        (labels(20) * 3, "of the labels outside their pictures, which are 64x48 px"),
        (np.full((12, 4, 2), np.nan, np.float32), "got 0 labelled frames"),
    ],
    ids=["few", "a keypoint never", "another size", "empty"],
)
def test_labels_that_cannot_be_trained_on_are_refused(make: Make, xy: Float32, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        read_project_labels(make(xy))
    assert "\n" not in str(raised.value)


def test_no_labels_and_missing_pictures_are_refused(make: Make) -> None:
    project = make(labels(12))
    next(project.frames_folder.rglob("*.png")).unlink()
    with pytest.raises(DataError, match=r"labels .*png, which is not in .* \(1 of 12 are missing\)"):
        read_project_labels(project)
    project.labels_file.unlink()
    with pytest.raises(
        DataError, match=r"expected the labels\. Import them with: cropzoom labels import '.*my rat' FILE"
    ):
        read_project_labels(project)


def test_a_few_labels_outside_are_only_said(make: Make) -> None:
    xy = labels(50)
    xy[0, 0] = (80, 10)
    project = make(xy, yaml="symmetric: [[leftear, rightear]]\n")
    (note,) = read_project_labels(project).notes
    assert "1 of 200 labels lie outside their picture" in note


def test_rare_keypoints_are_named(make: Make) -> None:
    xy = labels(50)
    xy[5:, 3] = np.nan
    project = make(xy, yaml="symmetric: [[leftear, rightear]]\n")
    assert read_project_labels(project).notes == ("labelled in few frames, so not well known: tailbase (10%)",)


def test_frames_of_two_sizes_are_fine(make: Make) -> None:
    project = make(labels(12))
    frame = LabelledFrame("", np.zeros((96, 128, 3), np.uint8), labels(1)[0])
    write_frames(project.folder, ["frames/day 1/img00000000.png"], [replace(frame)])
    assert read_project_labels(project).sizes[:2] == [(128, 96), (64, 48)]
