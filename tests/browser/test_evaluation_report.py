"""The report of an evaluation in a real browser: it fits a phone, whatever the names are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.browser import Pages, needs_chromium

from realtime_cropzoom.evaluation.judgement import Judgement
from realtime_cropzoom.evaluation.report import Report, report_html
from realtime_cropzoom.evaluation.results import Results
from realtime_cropzoom.evaluation.truth import Truth

pytestmark = [pytest.mark.slow, needs_chromium]
LONG = "a_name_of_64_letters_that_nobody_gives_but_everybody_could_give_"
PLACES = np.array([[100.0, 100.0], [150.0, 100.0], [200.0, 100.0]])
WIDER = """() => [...document.querySelectorAll('body *:not(.wide *)')].filter(
    one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1
).map(one => one.outerHTML.slice(0, 80))"""


def report(folder: Path, names: tuple[str, ...], recordings: tuple[str, ...]) -> Path:
    """Write the report of 24 frames."""
    images = tuple(f"frames/{recordings[n % len(recordings)]}/img{n:08d}.png" for n in range(24))
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / image), np.full((200, 320, 3), 90, np.uint8))
    labels = np.repeat(PLACES[None], 24, axis=0)
    truth = Truth(names, images, tuple(folder / image for image in images), labels)
    boxes, sizes = (np.repeat([row], 24, axis=0) for row in ([50.0, 20.0, 200.0, 200.0], [320.0, 200.0]))
    found = labels + np.random.default_rng(0).normal(0, 12, labels.shape)
    results = Results(truth, found, np.full((24, 3), 0.9), np.arange(24) > 1, boxes, found, np.full(24, 90.0), sizes)
    path = folder / "report.html"
    commands = (f"cropzoom frames /home/somebody/{LONG}/rat_arena --uncertain latest",)
    path.write_text(report_html(Report(f"Models of {LONG}", Judgement(results, ((0, 2),)), commands)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("names", "recordings"),
    [(("nose", "ear_l", "tail_base"), ("rat1", "rat2")), (("nose", LONG, "tail"), (f"{LONG}1", "b"))],
    ids=["usual", "long"],
)
@pytest.mark.parametrize("width", [360, 390, 820])
def test_nothing_is_wider_than_the_screen(
    tmp_path: Path, pages: Pages, names: tuple[str, ...], recordings: tuple[str, ...], width: int
) -> None:
    screen: dict[str, Any] = {"viewport": {"width": width, "height": 800}, "is_mobile": width < 500}
    page = pages.open(report(tmp_path, names, recordings).as_uri(), **screen)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(WIDER) == []
    first = page.evaluate("[...document.querySelectorAll('td:first-child')].map(one => one.clientWidth)")
    assert min(first) > 60, "a name is not one letter wide"
