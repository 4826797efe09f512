"""Samples become facts: what is wrong with pictures is measured, and the experiment that undoes it finds the animal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.blob_films import FLOOR, Change, draw, film

from realtime_cropzoom.checks.doctor.causes import find_causes
from realtime_cropzoom.checks.doctor.measure import Measured, measure
from realtime_cropzoom.checks.doctor.samples import Sampled, take_samples
from realtime_cropzoom.checks.doctor.sheet import draw_sheet
from realtime_cropzoom.checks.looking import Looker
from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.pipeline.startup import load_models
from realtime_cropzoom.sources.base import SourceOptions
from realtime_cropzoom.types import UInt8

PRESENCE = {"min_likelihood": 0.5, "min_sharpness": 0.5, "share": 0.5, "distances": []}
"""Limits with which the tiny models, which look for the brightest spot, see nothing but a blob."""


@pytest.fixture
def looker(make_model: Callable[..., Path]) -> Looker:
    """Models of a bright blob on a dark floor."""
    described = {"presence": PRESENCE}
    given = {role: str(make_model(role, described=described)) for role in ("detector", "pose")}
    settings, models = load_models(load_settings({**given, "crop_size": 96, "pace": "fast"}), threads=1)
    return Looker(settings, models)


@pytest.fixture
def shipped() -> Looker:
    return Looker(*load_models(load_settings({"pace": "fast"}), threads=1))


def causes(measured: Measured) -> list[str]:
    return [finding.cause for finding in find_causes(measured.facts)]


def test_a_blob_as_in_the_training_has_no_cause(looker: Looker) -> None:
    measured = measure(film(), looker)
    assert measured.facts.seen.share == 1
    assert causes(measured) == []
    moving = measured.facts.moving
    assert (moving.share, moving.several, moving.outside_box) == (1, 0, 0)
    assert moving.contrast == pytest.approx((250 - FLOOR) / 255, abs=0.2)
    assert moving.length_px == pytest.approx(28, abs=8)


def inverted(image: UInt8, number: int) -> UInt8:
    return np.asarray(255 - image, np.uint8)


def dark(image: UInt8, number: int) -> UInt8:
    return np.asarray(image // 8, np.uint8)


def noisy(image: UInt8, number: int) -> UInt8:
    return np.clip(image + np.random.default_rng(number).normal(0, 60, image.shape), 0, 255).astype(np.uint8)


def frozen(image: UInt8, number: int) -> UInt8:
    return np.full_like(image, FLOOR)


def with_lamp(image: UInt8, number: int) -> UInt8:
    """A blob of gray, and a lamp that stays where it is."""
    image = np.asarray(image * 0.55, np.uint8)
    cv2.circle(image, (40, 200), 16, (255, 255, 255), cv2.FILLED)
    return image


@pytest.mark.parametrize(
    ("change", "cause"),
    [(inverted, "contrast"), (dark, "exposure"), (frozen, "frozen"), (with_lamp, "wrong thing")],
)
def test_what_is_wrong_with_the_pictures_is_the_first_cause(looker: Looker, change: Change, cause: str) -> None:
    assert causes(measure(film(change), looker))[0] == cause


def test_two_blobs_are_several_animals(looker: Looker) -> None:
    assert "several animals" in causes(measure(film(blobs=2), looker))


def test_the_sheet_shows_all_samples_and_those_of_the_best_experiment(looker: Looker) -> None:
    sampled = film(inverted)
    measured = measure(sampled, looker)
    assert {experiment.family for _, experiment, _, _ in measured.helped} == {"contrast"}
    sheet = draw_sheet(sampled, measured, looker)
    rows = -(-(len(sampled.samples) + len(measured.helped)) // 6)
    assert sheet.shape[0] > 150 * rows
    assert sheet.shape[1] > 6 * 240


def changed(sampled: Sampled, change: Callable[[UInt8], UInt8]) -> Sampled:
    from dataclasses import replace

    samples = tuple(replace(sample, image=change(sample.image), following=()) for sample in sampled.samples)
    return replace(sampled, samples=samples)


@pytest.mark.slow
def test_a_good_recording_gives_no_false_alarm(shared_data: Path, shipped: Looker) -> None:
    video = shared_data / "openfield" / "videos" / "m3v1mp4.mp4"
    sampled = take_samples(str(video), SourceOptions(), 1)
    measured = measure(sampled, shipped)
    assert causes(measured) == []
    assert measured.facts.seen.share == 1
    for change in (
        lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), 2), np.uint8),
        lambda image: np.asarray(image // 2, np.uint8),
        lambda image: np.clip(image + np.random.default_rng(0).normal(0, 10, image.shape), 0, 255).astype(np.uint8),
        lambda image: np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [1, 10])[1], 1), np.uint8),
    ):
        assert causes(measure(changed(sampled, change), shipped)) == []


def test_the_rendered_arena_gives_no_false_alarm(shipped: Looker) -> None:
    sampled = take_samples("synthetic:arena,seconds=6", SourceOptions(), 1)
    assert causes(measure(sampled, shipped)) == []


@pytest.mark.slow
def test_a_recording_with_much_blur_is_not_sharp(shared_data: Path, shipped: Looker) -> None:
    video = shared_data / "openfield" / "videos" / "m3v1mp4.mp4"
    sampled = take_samples(str(video), SourceOptions(), 1, wanted=range(100, 2300, 290))
    blurred = changed(sampled, lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), 14), np.uint8))
    measured = measure(blurred, shipped)
    if measured.facts.seen.share >= 0.9:
        pytest.skip("these models find the animal in spite of the blur")
    assert "focus" in causes(measured)


def test_nothing_is_drawn_twice() -> None:
    assert not np.array_equal(draw(0), draw(11))
