"""Plain tables of points, and what is refused in any prediction file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.sessions.foreign import read_poses
from realtime_cropzoom.sessions.foreign.poses import Poses

NAN = float("nan")


def read(tmp_path: Path, text: str) -> Poses:
    path = tmp_path / "points.csv"
    path.write_text(text)
    return read_poses(path)


def test_a_row_for_each_keypoint(tmp_path: Path) -> None:
    found = read(tmp_path, 'frame,keypoint,x,y,score\n4,nose,1,2,0.5\n4,"tail, base",3,4,0.25\n7,"tail, base",5,6,\n')
    assert found.keypoint_names == ("nose", "tail, base")
    assert found.frames.tolist() == [4, 7]
    np.testing.assert_equal(found.values, [[[1, 2, 0.5], [3, 4, 0.25]], [[NAN] * 3, [5, 6, NAN]]])
    assert found.note == ""


def test_a_row_for_each_animal(tmp_path: Path) -> None:
    """As the results of Ultralytics become one."""
    text = "frame,instance,x1,y1,x2,y2,conf,cls,nose_x,nose_y,nose_v,tail_x,tail_y\n"
    found = read(tmp_path, text + "0,0,9,9,9,9,0.3,0,1,2,0.5,3,4\n0,1,9,9,9,9,0.8,0,10,20,0.9,,\n")
    assert found.keypoint_names == ("nose", "tail")
    np.testing.assert_equal(found.values, [[[10, 20, 0.9], [NAN] * 3]])
    assert found.note == "1 frames have several animals; in each the one with the highest score counts"


def test_of_several_animals_in_rows_of_keypoints_the_most_certain_counts(tmp_path: Path) -> None:
    text = "frame,instance,keypoint,x,y,score,instance_score\n0,0,nose,1,2,0.9,0.4\n0,1,nose,5,6,0.5,0.7\n"
    assert read(tmp_path, text).values.tolist() == [[[5, 6, 0.5]]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", "has the columns a, b; expected a file of DeepLabCut"),
        ("frame,keypoint,x,y\n", "has no keypoints"),
        ("frame,keypoint,x,y\n0,nose,,\n", "has no predictions"),
        ("frame,keypoint,x,y\n0,nose,1,2\n0,nose,3,4\n", "has two rows for nose in frame 0"),
        ("frame,keypoint,x,y\nimg.png,nose,1,2\n", "got 'img.png' as frame in data row 0"),
        ("frame,keypoint,x,y\n0,nose,left,2\n", "got 'left' as x in data row 0, expected a number"),
        ("frame,keypoint,x,y\n0,nose,inf,2\n", "got 'inf' as x"),
        ("frame,nose_x,nose_y,nose_x\n0,1,2,3\n", "has two columns with the name nose_x"),
        ("frame,instance,nose_x,nose_y\n0,0,1,2\n0,1,3,4\n", "has 2 animals in frame 0; expected one, or their score"),
        ("frame;keypoint;x;y\n", "separates its columns with semicolons"),
        ("scorer,a,a,a,a\nbodyparts,n,n,n,n\ncoords,x,y,x,y\n0,1,2,3,4\n", "two keypoints with the name n"),
    ],
)
def test_what_is_no_table_of_points_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(DataError, match=expected) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)


def test_files_of_lightning_pose_and_deeplabcut(tmp_path: Path) -> None:
    found = read(tmp_path, "scorer,m,m,m\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n0,1,2,0.5\n1,,,\n")
    np.testing.assert_equal(found.values, [[[1, 2, 0.5]], [[NAN] * 3]])


@pytest.mark.parametrize(("name", "expected"), [("p.txt", "got a file .txt, expected .csv"), ("p", "without a suffix")])
def test_a_file_of_unknown_form_is_refused(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=expected):
        read_poses(tmp_path / name)
    with pytest.raises(DataError, match="there is no"):
        read_poses(tmp_path / "nothing.csv")
