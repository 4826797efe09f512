"""Split of a project: nothing is on both sides, nor near to the other side, and what was held out stays so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.train.project_split import (
    NEIGHBOURS,
    Place,
    ProjectSplit,
    gap_of,
    place_of,
    split_project,
)


def image(recording: str, index: int) -> str:
    return f"frames/{recording}/img{index:08d}.png"


@st.composite
def labelled(draw: st.DrawFn, least: int = 1) -> list[str]:
    """Paths of labelled frames of some recordings, in any order."""
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=least, max_size=6, unique=True))
    images = [
        image(name, index)
        for name in names
        for index in draw(st.lists(st.integers(0, 20_000), min_size=1, max_size=40, unique=True))
    ]
    return draw(st.permutations(images))


shares, seeds = st.floats(0.05, 0.5), st.integers(0, 1000)


def sides(images: list[str], split: ProjectSplit) -> dict[str, dict[str, list[int]]]:
    """Indices of the frames by recording and set."""
    found: dict[str, dict[str, list[int]]] = {}
    for row, (path, word) in enumerate(zip(images, split.sets, strict=True)):
        place = place_of(path, row)
        found.setdefault(place.recording, {}).setdefault(word, []).append(place.index)
    return found


@given(images=labelled(), share=shares, seed=seeds)
def test_no_neighbours_are_on_both_sides(images: list[str], share: float, seed: int) -> None:
    split = split_project(images, share, (), {}, seed)
    assert len(split.sets) == len(images)
    for found in sides(images, split).values():
        gap = gap_of([index for indices in found.values() for index in indices])
        for one in found.get("train", []):
            assert all(abs(one - other) > gap for other in found.get("held_out", []))


@given(images=labelled(least=3), share=shares, seed=seeds)
def test_of_several_recordings_whole_ones_are_held_out(images: list[str], share: float, seed: int) -> None:
    split = split_project(images, share, (), {}, seed)
    assert all(len(found) == 1 for found in sides(images, split).values())
    assert {"train", "held_out"} == set(split.sets)


@given(images=labelled(), share=shares, seed=seeds)
def test_the_same_seed_gives_the_same_split_in_any_order_of_the_rows(
    images: list[str], share: float, seed: int
) -> None:
    forward = dict(zip(images, split_project(images, share, (), {}, seed).sets, strict=True))
    backward = dict(zip(images[::-1], split_project(images[::-1], share, (), {}, seed).sets, strict=True))
    assert forward == backward


@given(first=labelled(), second=labelled(), share=shares, seed=seeds)
def test_a_second_round_keeps_what_was_held_out(first: list[str], second: list[str], share: float, seed: int) -> None:
    earlier = dict(zip(first, split_project(first, share, (), {}, seed).sets, strict=True))
    images = [*first, *(path for path in second if path not in earlier)]
    later = dict(zip(images, split_project(images, share, (), earlier, seed).sets, strict=True))
    assert {path: later[path] for path in earlier if earlier[path] != "gap"} == {
        path: word for path, word in earlier.items() if word != "gap"
    }


def test_blocks_of_one_recording_take_about_the_share() -> None:
    images = [image("a", 100 * i) for i in range(100)]
    split = split_project(images, 0.15, (), {}, 0)
    assert split.sets.count("held_out") == 15
    assert split.sets.count("gap") == 0
    runs = "".join("h" if word == "held_out" else "." for word in split.sets).split(".")
    assert [len(run) for run in runs if run] in ([5, 5, 5], [5, 10], [10, 5]), "in a row, not one by one"
    assert split.why == ("15 frames are held out to measure the error: blocks of time, with a gap around them",)


def test_a_whole_recording_near_the_share_is_chosen() -> None:
    images = [image(name, 500 * i) for name, count in (("a", 40), ("b", 40), ("c", 18)) for i in range(count)]
    for seed in range(5):
        split = split_project(images, 0.15, (), {}, seed)
        assert {place_of(images[i], i).recording for i in split.indices("held_out")} == {"c"}


def test_frames_beside_a_held_out_one_are_not_used() -> None:
    images = [image("a", index) for index in range(0, 4000, 10)]
    split = split_project(images, 0.15, (), {}, 0)
    assert 0 < split.sets.count("gap") <= 2 * NEIGHBOURS // 10 * 4
    assert any("too near to a held-out one and not used" in line for line in split.why)


def test_frames_of_a_few_seconds_are_said_to_be_too_much_alike() -> None:
    split = split_project([image("a", index) for index in range(100)], 0.15, (), {}, 0)
    assert "Label frames of at least three recordings" in split.why[-1]
    assert split.sets.count("train") > 70


@pytest.mark.parametrize("given_as", ["night", "recordings/night.mp4", "C:\\videos\\night.avi"])
def test_named_recordings_are_held_out(given_as: str) -> None:
    images = [image(name, 10 * i) for name in ("day", "night") for i in range(5)]
    split = split_project(images, 0.15, [given_as], {image("day", 0): "held_out"}, 0)
    assert split.sets == ("train",) * 5 + ("held_out",) * 5


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nihgt"], r"got nihgt, expected recordings with labels: day, night\. Did you mean .night.\?"),
        (["day", "night"], "got all 2"),
    ],
)
def test_recordings_that_cannot_be_held_out_are_refused(names: list[str], message: str) -> None:
    images = [image(name, 10 * i) for name in ("day", "night") for i in range(5)]
    with pytest.raises(ConfigError, match=message) as raised:
        split_project(images, 0.15, names, {}, 0)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("frames/m4s1/img00001234.png", Place("m4s1", 1234)),
        ("frames\\m4s1\\img00001234.png", Place("m4s1", 1234)),
        ("labeled-data/night 2/frame-7_crop12.png", Place("night 2", 12)),
        ("first.png", Place("", 5)),
    ],
)
def test_a_path_tells_recording_and_frame(path: str, place: Place) -> None:
    assert place_of(path, 5) == place
