"""The report: what a reader, a browser and a printer need of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime_cropzoom.evaluation.files import write_evaluation
from realtime_cropzoom.evaluation.findings import Word, compared, verdict
from realtime_cropzoom.evaluation.judgement import Judgement
from realtime_cropzoom.evaluation.report import Report, report_html
from realtime_cropzoom.evaluation.results import Results, count_tracked, errors_text, read_errors
from realtime_cropzoom.evaluation.truth import Truth
from realtime_cropzoom.evaluation.what_to_label import what_to_label
from realtime_cropzoom.types import Float64

_NAMES = ("<nose>", "ear&l", "ear_r", 'tail"base')
_PLACES = np.array([[100.0, 100.0], [120.0, 90.0], [120.0, 110.0], [200.0, 100.0]])
"""An animal of 100 px."""


def _judged(tmp_path: Path, off: Float64, tracked: float = 1.0, likelihood: float = 0.95) -> Judgement:
    """Frames of two recordings in which the keypoints are off by ``off`` (N, K), to the right."""
    count = len(off)
    images = tuple(f"frames/{'<b>' if i % 2 else 'a'}/img{i:08d}.png" for i in range(count))
    for image in images:
        (tmp_path / image).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / image), np.full((200, 320, 3), 90, np.uint8))
    labels = np.repeat(_PLACES[None], count, axis=0)
    found = labels + np.stack([off, np.zeros_like(off)], axis=2)
    truth = Truth(_NAMES, images, tuple(tmp_path / image for image in images), labels)
    tracking = np.arange(count) < round(tracked * count)
    boxes = np.repeat([[50.0, 20.0, 200.0, 200.0]], count, axis=0)
    light, sizes = np.full(count, 90.0), np.repeat([[320.0, 200.0]], count, axis=0)
    nowhere = np.full(labels.shape, np.nan)
    results = Results(truth, found, np.full(off.shape, likelihood), tracking, boxes, nowhere, light, sizes)
    return Judgement(results, pairs=((1, 2),))


class _Page(HTMLParser):
    """Collects what a page would load, and whether its tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _page(html: str) -> _Page:
    page = _Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def test_it_is_one_file_without_scripts_that_shows_any_name_as_text(tmp_path: Path) -> None:
    judged = _judged(tmp_path, np.full((6, 4), 2.0))
    html = report_html(Report("<script>alert(1)</script>", judged, ("cropzoom frames a&b --uncertain S",)))
    page = _page(html)
    assert "script" not in page.tags
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert "url(" not in html
    assert "@import" not in html
    assert "nose" not in page.tags
    assert all(name in page.text for name in _NAMES)
    assert "<script>alert(1)</script>" in page.text
    assert "cropzoom frames a&b --uncertain S" in page.text


def test_the_worst_frames_come_first_and_at_most_twenty(tmp_path: Path) -> None:
    off = np.arange(24.0)[:, None].repeat(4, axis=1)
    text = _page(report_html(Report("all", _judged(tmp_path, off)))).text
    drawn = re.findall(r"img(\d{8})\.png: mean error", text)
    assert [int(number) for number in drawn] == list(range(23, 3, -1))


@pytest.mark.parametrize(
    ("off_px", "tracked", "word"),
    [
        (4.0, 1.0, "good"),
        (7.0, 1.0, "usable with care"),
        (12.0, 1.0, "poor"),
        (4.0, 0.95, "usable with care"),
        (4.0, 0.8, "poor"),
        (float("nan"), 0.0, "poor"),
    ],
)
def test_the_verdict_is_as_the_page_says(tmp_path: Path, off_px: float, tracked: float, word: Word) -> None:
    judged = _judged(tmp_path, np.full((20, 4), off_px), tracked)
    assert verdict(judged).word == word
    _page(report_html(Report("all", judged)))


def test_one_keypoint_in_twenty_on_a_wrong_place_is_not_good(tmp_path: Path) -> None:
    off = np.zeros((20, 4))
    off[:4, 3] = 30.0
    judged = _judged(tmp_path, off)
    assert verdict(judged).word == "usable with care"
    assert judged.sure_and_wrong == (4, 80)
    assert _judged(tmp_path, off, likelihood=0.5).sure_and_wrong == (0, 0), "no rule would trust them"


def test_what_to_label_next_names_what_stands_out_and_nothing_else(tmp_path: Path) -> None:
    even = _judged(tmp_path, np.full((12, 4), 3.0))
    assert what_to_label(even) == []
    off = np.full((12, 4), 3.0)
    off[:, 0] = 9.0
    assert [line.partition(" (")[0] for line in what_to_label(_judged(tmp_path, off))] == ["keypoint <nose>"]
    assert what_to_label(_judged(tmp_path, off), "too short") == ["too short"], "its labels are not to blame"
    off = np.full((12, 4), 3.0)
    off[1::2] = 9.0
    (line,) = what_to_label(_judged(tmp_path, off))
    assert line.startswith("recording <b>: median 9.0 px")
    (line,) = what_to_label(_judged(tmp_path, np.full((12, 4), 3.0), tracked=11 / 12))
    assert line.startswith("recording <b>: the animal was not found in 1 of 6 frames")


def test_frames_that_look_alike_are_named_by_their_look(tmp_path: Path) -> None:
    off = np.full((12, 4), 3.0)
    off[:4] = 9.0
    judged = _judged(tmp_path, off)
    judged.results.light[:] = np.arange(12) * 20.0
    assert [line.partition(":")[0] for line in what_to_label(judged)] == ["dark frames"]


def test_exchanged_ears_are_named_with_their_number(tmp_path: Path) -> None:
    judged = _judged(tmp_path, np.zeros((12, 4)))
    judged.results.found[:5, [1, 2]] = judged.results.found[:5, [2, 1]]
    lines = what_to_label(judged)
    assert any(line.startswith("left and right: ear&l and ear_r exchanged in 5 of 12 frames") for line in lines)


def test_models_that_are_wrong_everywhere_need_more_than_single_frames(tmp_path: Path) -> None:
    lines = what_to_label(_judged(tmp_path, np.full((12, 4), 30.0)))
    assert lines[0].startswith("the error is large everywhere")


def test_good_models_that_are_worse_than_those_before_are_said_to_be_so_first_and_are_not_green(tmp_path: Path) -> None:
    before, now = _judged(tmp_path, np.full((12, 4), 1.0)), _judged(tmp_path, np.full((12, 4), 4.0))
    csv = tmp_path / "errors.csv"
    csv.write_text(errors_text(before.results))
    worse = Judgement(now.results, earlier=read_errors(csv))
    assert verdict(worse).word == "good"
    html = report_html(Report("all", worse, way_back="mv before here"))
    text = _page(html).text
    assert text.index("Good, but worse than the models before") < text.index("median 1.0 px before, 4.0 px now")
    assert text.index("go back to the models before.mv before here") < text.index("median error")
    good = 'style="--c:#1b7f4b"'
    assert good not in html
    assert good in report_html(Report("all", now))
    lines = write_evaluation(tmp_path / "out", Report("all", worse, way_back="mv before here"), "").lines
    assert lines[0].startswith("worse than the models before, on the same 12 frames: median 1.0 px before, 4.0 px now")
    assert lines[1].endswith("or go back to the models before: mv before here")
    assert lines[2].startswith("good: ")
    assert len([line for line in lines if "than the models before" in line]) == 1


@pytest.mark.parametrize(("before_px", "now_px", "word"), [(np.inf, 2.0, "better"), (2.0, np.inf, "worse")])
def test_models_that_find_no_keypoint_are_worse_and_have_no_median(
    tmp_path: Path, before_px: float, now_px: float, word: str
) -> None:
    before, now = (_judged(tmp_path, np.full((12, 4), px)) for px in (before_px, now_px))
    csv = tmp_path / "errors.csv"
    csv.write_text(errors_text(before.results))
    comparison = Judgement(now.results, earlier=read_errors(csv)).comparison
    assert comparison is not None
    assert comparison.word == word
    said = ["no keypoint with a position" if px == np.inf else "median 2.0 px" for px in (before_px, now_px)]
    assert compared(comparison) == (
        f"{word} than the models before, on the same 12 frames: {said[0]} before, {said[1]} now"
    )


def test_models_are_compared_on_the_same_labels_only(tmp_path: Path) -> None:
    before, now = _judged(tmp_path, np.full((12, 4), 8.0)), _judged(tmp_path, np.full((12, 4), 3.0))
    csv = tmp_path / "errors.csv"
    csv.write_text(errors_text(before.results))
    earlier = read_errors(csv)
    assert count_tracked(csv) == (int(before.results.tracking.sum()), 12)
    better = Judgement(now.results, earlier=earlier).comparison
    assert better is not None
    assert (better.word, better.frames, better.before_px, better.now_px) == ("better", 12, 8.0, 3.0)
    same = Judgement(before.results, earlier=earlier).comparison
    assert same is not None
    assert same.word == "no clear difference"
    now.results.truth.labels[:] += 1.0
    assert Judgement(now.results, earlier=earlier).comparison is None, "the labels were corrected"
