"""The line about an animal that is not found: once for each stretch, and not while no frame comes."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np
import pytest
from support.pipelines import Film, make_settings, run_to_end

from realtime_cropzoom.inference.manifest import Trained
from realtime_cropzoom.pipeline.lost_animal import LostAnimal, LostWords
from realtime_cropzoom.runtime.ring import Ring

S = 1_000_000_000
WORDS = LostWords("video.mp4", shipped=True, trained=None, live=False)


class Counts:
    """What a run counts, and when its line is due."""

    def __init__(self, *regions: str) -> None:
        self.seen: dict[str, int | None] = dict.fromkeys(regions or ("",))
        self.captured = 1
        self.ring = Ring(2, 4, 4)
        self.lost = LostAnimal(WORDS, self.ring, lambda: self.seen, lambda: self.captured)

    def due(self, begin_s: int, end_s: int, *, frames_come: bool = True) -> list[int]:
        """Return the seconds from ``begin_s`` on at which the line is due."""
        return [s for s in range(begin_s, end_s) if self.lost.due(s * S, frames_come=frames_come)]

    def named(self, begin_s: int, end_s: int, *found: str) -> dict[int, list[str]]:
        """Return the regions that are named by the second, while the animal is found in these each second."""
        named = {}
        for s in range(begin_s, end_s):
            self.seen |= dict.fromkeys(found, s)
            if names := self.lost.due(s * S, frames_come=True):
                named[s] = names
        return named


def test_it_is_said_once_after_ten_seconds_and_again_after_the_animal_was_found() -> None:
    counts = Counts()
    assert counts.due(0, 100) == [10]
    counts.seen[""] = 5
    assert counts.due(100, 300) == [110]


def test_an_animal_that_is_found_now_and_then_is_not_lost() -> None:
    counts = Counts()
    said = []
    for second in range(0, 200, 9):
        counts.seen[""] = second
        said += counts.due(second, second + 9)
    assert said == []


def test_nothing_is_said_while_no_frame_comes() -> None:
    counts = Counts()
    assert counts.due(0, 50, frames_come=False) == []
    assert counts.due(50, 100) == [60]
    assert counts.due(100, 150, frames_come=False) == []
    assert counts.due(150, 200) == []
    counts = Counts()
    counts.captured = 0
    assert counts.due(0, 50) == []


def test_an_empty_region_is_named_once_however_long_the_run_goes_on() -> None:
    counts = Counts("a", "b", "c")
    assert counts.named(0, 1000, "a", "c") == {11: ["b"]}


def test_a_region_is_named_again_when_an_animal_was_found_there_and_is_lost() -> None:
    counts = Counts("a", "b")
    assert counts.named(0, 100, "a") == {11: ["b"]}
    assert counts.named(100, 101, "a", "b") == {}
    assert counts.named(101, 200, "a") == {111: ["b"]}


def test_regions_that_lose_their_animals_soon_after_each_other_are_in_one_line() -> None:
    """As when the light goes off."""
    counts = Counts("a", "b", "c", "empty")
    assert counts.named(0, 50, "a", "b", "c") == {11: ["empty"]}
    assert counts.named(50, 51, "b", "c") == {}
    assert counts.named(51, 200) == {60: ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (["a", "c"], "no animal has been found for 10 s in b, of 3 regions; this is said again when one was found"),
        ([], "the animal has not been found for 10 s in a, b, c: the shipped models know one mouse"),
    ],
)
def test_the_line_names_the_regions_and_speaks_of_the_picture_if_none_has_an_animal(
    found: list[str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    counts = Counts("a", "b", "c")
    counts.ring.close()  # no frame to look at
    for second in range(30):
        counts.seen |= dict.fromkeys(found, second)
        counts.lost.check(second * S, frames_come=True)
    for thread in threading.enumerate():
        if thread.name == "cropzoom-glance":
            thread.join()
    (line,) = caplog.messages
    assert line.startswith(said)


def test_the_line_says_what_the_models_know_and_what_the_picture_is_like() -> None:
    assert WORDS.line(20) == (
        "the animal has not been found for 10 s: the shipped models know one mouse seen from above, darker or "
        "brighter than the floor; this video is dark (gray 20 of 255). Run 'cropzoom doctor video.mp4' to see why"
    )
    trained = Trained((640, 480), (90, 115, 140), (-0.5, -0.4, -0.3), (0.5, 0.6, 0.7), "a white rat on a dark floor")
    line = LostWords("camera:0", shipped=False, trained=trained, live=True).line(None)
    assert "these models know a white rat on a dark floor, 115 px long (90–140) in frames of 640×480." in line
    assert line.endswith("Run 'cropzoom doctor camera:0' when the run has ended to see why")


class Plain(Film):
    """Frames without an animal, of one gray."""

    def draw(self, index: int) -> np.ndarray:
        return np.full((96, 160, 3), 40, np.uint8)


def test_a_run_over_a_video_without_an_animal_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("realtime_cropzoom.pipeline.lost_animal.LOST_NS", S // 2)
    before = threading.active_count()
    settings = make_settings(tmp_path, source="plain.mp4", detector_min_sharpness=0.9, pose_min_sharpness=0.9)
    with caplog.at_level(logging.WARNING):
        run_to_end(settings, Plain(90, 60.0))
    lines = [line for line in caplog.messages if "not been found" in line]
    assert len(lines) == 1
    assert "this video is dark (gray 40 of 255). Run 'cropzoom doctor plain.mp4' to see why" in lines[0]
    assert threading.active_count() == before


def test_a_run_that_finds_the_animal_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("realtime_cropzoom.pipeline.lost_animal.LOST_NS", S)
    with caplog.at_level(logging.WARNING):
        run_to_end(make_settings(tmp_path, source="film.mp4"), Film(120, 60.0))
    assert not [line for line in caplog.messages if "not been found" in line]
