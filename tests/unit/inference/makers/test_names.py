"""Names of keypoints: the user's come first, then the file's, then those of a person; else somebody must give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.makers.names import COCO, choose_names

FILE = Path("a.onnx")


def test_the_names_of_the_user_come_before_those_of_the_file() -> None:
    assert choose_names(FILE, 2, ("a", "b"), ("c", "d")) == (("a", "b"), "")
    assert choose_names(FILE, 2, (), ("c", "d")) == (("c", "d"), "")


def test_seventeen_keypoints_without_names_are_a_person() -> None:
    names, assumed = choose_names(FILE, 17, ())
    assert names == COCO
    assert "COCO" in assumed


@pytest.mark.parametrize(
    ("count", "given", "own", "says"),
    [
        pytest.param(
            4, (), (), r"a.onnx has 4 keypoints without names\. Give them in order with --keypoints", id="none"
        ),
        pytest.param(4, ("a", "b"), (), "a.onnx has 4 keypoints, but 2 names were given", id="too few"),
        pytest.param(2, ("a", "a"), (), "the given names: two keypoints have the name a", id="given twice"),
        pytest.param(2, (), ("a", "a"), "a.onnx: two keypoints have the name a", id="twice in the file"),
        pytest.param(1, (), (" ",), "a.onnx: a keypoint has no name", id="blank"),
    ],
)
def test_names_that_cannot_be_used_are_refused(
    count: int, given: tuple[str, ...], own: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        choose_names(FILE, count, given, own)
