"""The verdict on a trained model: the words follow from the errors on held-out frames."""

from __future__ import annotations

import numpy as np
import pytest

from realtime_cropzoom.train.verdict import HeldOut, animal_length, verdict

NAN = float("nan")


def held_out(median_px: float, *, frames: int = 20, far: int = 0, animal_px: float = 100.0) -> HeldOut:
    errors = np.full((frames, 5), median_px)
    errors.ravel()[:far] = 60.0
    return HeldOut(errors, animal_px)


@pytest.mark.parametrize(
    ("errors", "word"),
    [
        (held_out(2.0), "good: on 20 held-out frames the keypoints are off by 2.0 px in the median, 2.0% of the"),
        (held_out(2.0, far=5), "usable with care: "),  # one keypoint in twenty is on the wrong place
        (held_out(8.0), "usable with care: "),
        (held_out(12.0), "poor: "),
        (held_out(2.0, far=20), "poor: "),
    ],
)
def test_the_word_follows_from_median_and_outliers(errors: HeldOut, word: str) -> None:
    assert verdict(errors).startswith(word)


def test_the_same_error_is_worse_on_a_smaller_animal() -> None:
    assert verdict(held_out(4.0, animal_px=100)).startswith("good")
    assert verdict(held_out(4.0, animal_px=30)).startswith("poor")


def test_a_model_that_is_not_good_comes_with_advice_and_a_good_one_without() -> None:
    assert "label more frames" in verdict(held_out(12.0))
    assert "label more frames" not in verdict(held_out(2.0))


def test_few_frames_are_said_to_be_few() -> None:
    assert "2 frames are few: the figures are rough" in verdict(held_out(2.0, frames=2))
    assert "rough" not in verdict(held_out(2.0, frames=20))


@pytest.mark.parametrize("errors", [np.empty((0, 4)), np.full((3, 4), NAN)])
def test_without_held_out_labels_nothing_is_claimed(errors: np.ndarray) -> None:
    assert verdict(HeldOut(errors, 100.0)).startswith("unknown: no labelled frame was held out")


def test_without_a_body_length_nothing_is_claimed() -> None:
    assert verdict(held_out(2.0, animal_px=NAN)).startswith("unknown: off by 2.0 px")


def test_the_length_is_between_the_two_keypoints_furthest_apart() -> None:
    frames = [np.array([(0, 0), (30, 40), (1, 1)], float), np.array([(0, 0), (0, 70), (NAN, NAN)], float)]
    assert animal_length(frames) == 60
    assert np.isnan(animal_length([np.array([(1.0, 1.0), (NAN, NAN)])]))
    assert np.isnan(animal_length([]))
