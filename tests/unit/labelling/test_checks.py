"""Checks of labels: one line a fault, with its number, the first example and what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.labelled import make_project, pose

from realtime_cropzoom.labelling.checks import check_labels, outside


def image(i: int) -> str:
    return f"frames/m/img{i:08d}.png"


def test_good_labels_have_no_findings(tmp_path: Path) -> None:
    assert check_labels(make_project(tmp_path / "p"), {image(i): pose(i) for i in range(12)}) == []
    assert check_labels(make_project(tmp_path / "q"), {}) == []


def test_each_fault_is_one_line_with_its_frames(tmp_path: Path) -> None:
    labels = {image(i): pose(i) for i in range(20)}
    labels[image(4)][[1, 2]] = labels[image(4)][[2, 1]]
    labels[image(7)][2] = labels[image(7)][1]
    sides, same = check_labels(make_project(tmp_path / "p"), labels)
    assert sides.text == (
        "left and right: ear_l and ear_r are on the other side than in most frames in 1 frame, first "
        f"{image(4)}. Look whether they are swapped there"
    )
    assert sides.images == {image(4): "ear_l / ear_r swapped?"}
    two = f"ear_l and ear_r of {image(7)}"
    assert same.text.startswith(f"same place: two keypoints lie on each other in 1 frame, first {two}. Label both")
    assert same.images == {image(7): "ear_l on ear_r"}


def test_few_and_never_are_said(tmp_path: Path) -> None:
    labels = {image(0): pose(0)}
    labels[image(0)][2] = np.nan
    sides, never, few = (finding.text for finding in check_labels(make_project(tmp_path / "p"), labels))
    assert sides == "left and right: not checked (fewer than 10 frames tell the side)"
    assert never.startswith("never labelled: ear_r. Label them, or take them out of project.yaml")
    assert few == "few labels: 1 labelled frame, expected 10 at least. Label more before training"


def test_the_edge_of_a_picture_belongs_to_it() -> None:
    xy = np.array([[0.0, 0.0], [95.9, 63.9], [96.5, 3.0], [4.0, -1.5], [np.nan, np.nan], [1e300, 5.0]])
    assert outside(xy, (96, 64)).tolist() == [False, False, True, True, False, True]
