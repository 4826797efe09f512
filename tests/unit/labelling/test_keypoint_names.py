"""Names of keypoints: what means the same is suggested, and nothing is guessed silently."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.labelled import NAMES

from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.labelling.keypoint_names import match_names, nearest_name

FILE = Path("labels.csv")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("leftear", "ear_l"),
        ("Ear_L", "ear_l"),
        ("R.Ear", "ear_r"),
        ("earRight", "ear_r"),
        ("snout", "nose"),
        ("TailBase", "tail_base"),
        ("nosee", "nose"),
        ("left_hip", None),
        ("", None),
    ],
)
def test_other_words_for_the_same_place(given: str, meant: str | None) -> None:
    assert nearest_name(given, NAMES) == meant


def test_order_does_not_matter_and_others_are_said() -> None:
    found = match_names(FILE, ["tail_base", "whisker", "nose"], NAMES)
    assert found.places == {"tail_base": 3, "nose": 0}
    assert (found.left_out, found.missing) == (("whisker",), ("ear_l", "ear_r"))


def test_names_that_are_near_are_refused_with_the_flag_that_helps() -> None:
    with pytest.raises(DataError) as caught:
        match_names(FILE, ["snout", "leftear", "rightear", "tail_base"], NAMES)
    assert "Did you mean nose, ear_l, ear_r?" in str(caught.value)
    assert "Add --rename snout=nose,leftear=ear_l,rightear=ear_r, or" in str(caught.value)
    rename = {"snout": "nose", "leftear": "ear_l", "rightear": ""}
    found = match_names(FILE, ["snout", "leftear", "rightear", "tail_base"], NAMES, rename)
    assert found.places == {"snout": 0, "leftear": 1, "tail_base": 3}
    assert (found.left_out, found.missing) == (("rightear",), ("ear_r",))


@pytest.mark.parametrize(
    ("names", "rename", "message"),
    [
        (["wing", "beak"], {}, "got the keypoints wing, beak, expected nose"),
        ([], {}, "expected nose"),
        (["nose", "snout"], {"snout": "nose"}, "nose and snout both mean nose"),
    ],
)
def test_names_that_do_not_fit_are_refused(names: list[str], rename: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        match_names(FILE, names, NAMES, rename)


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({"snoot": "nose"}, r"labels.csv has no snoot; it has snout\. Did you mean 'snout'\?"),
        ({"snout": "nse"}, r"the project has no nse; it has .*\. Did you mean 'nose'\?"),
    ],
)
def test_a_rename_of_what_is_not_there_is_refused(rename: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        match_names(FILE, ["snout"], NAMES, rename)
