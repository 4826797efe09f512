"""``project.yaml``: what it may say, and one line for what is wrong."""

from __future__ import annotations

import pytest

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.project.schema import HeldOut, ProjectFile, Training, check_names, name_fault, parse_project

WHOLE = """\
keypoints: [nose, ear_l, ear_r, tail_base]
skeleton: [[nose, ear_l], [nose, ear_r]]
symmetric: [[ear_l, ear_r]]
recordings:
  - videos/a b.mp4
held_out: {share: 0.2, recordings: [a]}
training: {minutes: 20, crop_size: 240, detector_input: auto, seed: 3}
"""


def test_a_whole_file_is_read() -> None:
    file = parse_project(WHOLE, "project.yaml")
    assert file == ProjectFile(
        keypoints=("nose", "ear_l", "ear_r", "tail_base"),
        skeleton=(("nose", "ear_l"), ("nose", "ear_r")),
        symmetric=(("ear_l", "ear_r"),),
        recordings=("videos/a b.mp4",),
        held_out=HeldOut(share=0.2, recordings=("a",)),
        training=Training(minutes=20, crop_size=240, seed=3),
    )


def test_all_but_the_keypoints_may_be_left_out() -> None:
    file = parse_project("keypoints: [nose]\nrecordings:\nskeleton: []\n", "project.yaml")
    assert file.recordings == ()
    assert file.training.crop_size == "auto"


FAULTS = [
    ("keypoints: [nose]\nrecodings: []\n", ["p, line 2: recodings: not a key", "Did you mean 'recordings'?"]),
    (
        "keypoints: [nose]\ntraining: {minuts: 3}\n",
        ["p, line 2: training.minuts: not a key", "Did you mean 'minutes'?"],
    ),
    ("keypoints: [nose]\nminutes: 3\n", ["p, line 2: minutes: not a key", "Did you mean 'minutes'?"]),
    ("skeleton: []\n", ["p: keypoints: is missing, expected a list of names"]),
    ("", ["p: keypoints: is missing"]),
    ("- nose\n", ["p holds a list", "keypoints: [nose, tail_base]"]),
    ("keypoints: nose\n", ["p, line 1: keypoints: got 'nose', expected a list of names"]),
    ("keypoints: []\n", ["p, line 1: keypoints: got [], expected a list of names"]),
    ("keypoints: [nose, no]\n", ["p, line 1: keypoints: got False, expected a text; put it in quotes"]),
    ("keypoints:\n  - nose\n  - tail\n  - nose\n", ["p, line 4: keypoints: got nose twice"]),
    ("keypoints: ['a,b']\n", ["keypoints: got 'a,b': a keypoint's name holds ','"]),
    ("keypoints: [a, b]\nskeleton: [[a, c]]\n", ["p, line 2: skeleton: got c, expected keypoints: a, b"]),
    ("keypoints: [nose, b]\nskeleton: [[b, noes]]\n", ["skeleton: got noes", "Did you mean 'nose'?"]),
    ("keypoints: [a, b]\nskeleton: [[a, a]]\n", ["skeleton: got a with itself"]),
    ("keypoints: [a, b]\nskeleton: [a, b]\n", ["p, line 2: skeleton: got 'a', expected a list of pairs"]),
    ("keypoints: [a, b]\nskeleton: [[a, b, a]]\n", ["skeleton: got", "expected a list of pairs"]),
    ("keypoints: [a, b, c]\nsymmetric: [[a, b], [b, c]]\n", ["symmetric: got b in two pairs"]),
    ("keypoints: [a]\nheld_out: {share: 1.5}\n", ["p, line 2: held_out.share: got 1.5, expected 0.5 or less"]),
    ("keypoints: [a]\nheld_out: 0.2\n", ["held_out: got 0.2, expected lines such as 'share: 0.15'"]),
    (
        "keypoints: [a]\nrecordings: [b, http://x/c.mp4]\n",
        ["p, line 2: recordings: got 'http://x/c.mp4', expected paths"],
    ),
    ("keypoints: [a]\nheld_out: {recordings: a}\n", ["held_out.recordings: got 'a', expected a list of names"]),
    ("keypoints: [a]\ntraining: {minutes: 0}\n", ["training.minutes: got 0, expected a number above 0"]),
    ("keypoints: [a]\ntraining: {minutes: .inf}\n", ["training.minutes: got inf, expected a number"]),
    ("keypoints: [a]\ntraining: {crop_size: big}\n", ["training.crop_size: got 'big', expected auto, or a whole"]),
    ("keypoints: [a]\ntraining: {pose_input: 3200}\n", ["got 3200, expected auto, or a whole number from 32 to 1024"]),
    ("keypoints: [a]\ntraining: {crop_size: 1}\n", ["got 1, expected auto, or a whole number from 16 to 8192"]),
    ("keypoints: [a]\ntraining: {seed: -1}\n", ["training.seed: got -1, expected 0 or more"]),
    ("keypoints: [a]\ntraining: {seed: x}\n", ["training.seed: got 'x', expected a whole number"]),
    ("keypoints: [a\n", ["p is not YAML"]),
    ("keypoints: [a]\nkeypoints: [b]\n", ["line 2: keypoints occurs twice"]),
]


@pytest.mark.parametrize(("text", "parts"), FAULTS)
def test_each_fault_is_one_line(text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_project(text, "p")
    (line,) = set(str(refused.value).splitlines())
    assert all(part in line for part in parts), line
    assert len(line) < 300


def test_several_faults_are_several_lines() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_project("keypoints: [a, a]\nskeleton: [[a, b]]\n", "p")
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize("name", ["", " a", "a\n", "a,b", "a:b", "a/b", "a;b", 'a"b', "x" * 65])
def test_names_that_other_programs_cannot_hold_are_refused(name: str) -> None:
    assert name_fault(name)


@pytest.mark.parametrize("name", ["nose", "ear_l", "tail base", "Ohr-links", "耳", "1"])
def test_other_names_are_taken(name: str) -> None:
    assert not name_fault(name)
    check_names([name, "other"], [(name, "other")], [])
